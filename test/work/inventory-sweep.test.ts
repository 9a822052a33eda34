import t from "tap";
import { InventorySweep, isScanDue } from "../../dist/work/inventory/inventory-sweep.js";
import { createTestDatabase } from "../support/database/database.js";
import { insertHosts, insertRun, type TestHost } from "../support/database/work-rows.js";
import { openStore, quietEvents } from "../support/work-desk.js";

const NEVER_MS = 2 ** 30;
const HOUR_MS = 3_600_000;

const database = await createTestDatabase(t);

t.test("scans are made for hosts that are due, once over two instances", async (t) => {
  const hosts = await insertHosts(database, 11);
  const [never, recent, old, malformed, offline, open, failed, failedLongAgo, deleted, stopped, unnoted] = hosts as [
    TestHost,
    TestHost,
    TestHost,
    TestHost,
    TestHost,
    TestHost,
    TestHost,
    TestHost,
    TestHost,
    TestHost,
    TestHost,
  ];
  const [unwanted] = (await insertHosts(database, 1)) as [TestHost];
  await database.query(
    `update organisations set metadata = '{"softwareInventorySettings": {"enabled": true, "intervalHours": 12}}'
     where id = $1`,
    [never.organisationId],
  );
  const note = (host: TestHost, at: string) =>
    database.query("update hosts set metadata = jsonb_build_object('lastSoftwareScanAt', $2::text) where id = $1", [
      host.hostId,
      at,
    ]);
  await note(recent, new Date(Date.now() - 11 * HOUR_MS).toISOString());
  await note(old, new Date(Date.now() - 13 * HOUR_MS).toISOString());
  await note(malformed, "not a time");
  await database.query("update hosts set status = 'offline' where id = $1", [offline.hostId]);
  await database.query("update hosts set deleted_at = now() where id = $1", [deleted.hostId]);
  await insertRun(database, [open], { type: "software_inventory", status: "running" });
  for (const [host, status, ago] of [
    [failed, "failed", "30 minutes"],
    [failedLongAgo, "failed", "2 hours"],
    [stopped, "cancelled", "30 minutes"],
    [unnoted, "success", "30 minutes"],
  ] as const) {
    const { taskIds } = await insertRun(database, [host], { type: "software_inventory", status });
    await database.query("update task_run_hosts set completed_at = now() - $2::interval where id = $1", [
      taskIds[0],
      ago,
    ]);
  }
  await Promise.all(
    [1, 2].map(async () => {
      const sweep = new InventorySweep({
        database: openStore(t, database, 1),
        events: quietEvents(),
        intervalMs: NEVER_MS,
      });
      t.teardown(() => sweep.stop());
      await sweep.now();
      await sweep.now();
    }),
  );
  const made = await database.query<{ host_id: string; status: string; task_type: string; max_parallel: number }>(
    `select r.host_id, r.status, run.task_type, run.max_parallel, run.triggered_by, run.target_type, run.target_id
     from task_run_hosts r join task_runs run on run.id = r.task_run_id where r.status = 'pending'`,
  );
  t.same(
    made.map(({ host_id }) => host_id).sort(),
    [never, old, malformed, failedLongAgo].map(({ hostId }) => hostId).sort(),
  );
  t.notOk(made.some(({ host_id }) => host_id === unwanted.hostId));
  for (const row of made) {
    t.match(row, {
      task_type: "software_inventory",
      max_parallel: 1,
      triggered_by: null,
      target_type: "host",
      target_id: row.host_id,
    });
  }
});

t.test("settings and times that are anything", async (t) => {
  const now = Date.parse("2026-01-10T00:00:00Z");
  const candidate = { hostId: "h", organisationId: "o", lastScanAt: null, intervalHours: null };
  const due = (fields: object) => isScanDue({ ...candidate, ...fields }, now);
  t.ok(due({}));
  t.ok(due({ lastScanAt: "2026-01-08T23:00:00Z" }));
  t.notOk(due({ lastScanAt: "2026-01-09T01:00:00Z" }), "24 hours where nothing is said");
  t.ok(due({ lastScanAt: "2026-01-09T01:00:00Z", intervalHours: "6" }));
  for (const intervalHours of ["0", "-1", "soon", "Infinity", "{}"]) {
    t.notOk(due({ lastScanAt: "2026-01-09T01:00:00Z", intervalHours }), intervalHours);
  }
  t.ok(due({ lastScanAt: "2199-01-01T00:00:00Z" }), "a clock that was wrong does not stop the scans");
});
