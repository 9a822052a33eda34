import t, { type Test } from "tap";
import { HeartbeatEvents } from "../../dist/heartbeat/events.js";
import { HeartbeatWriter } from "../../dist/heartbeat/heartbeat-writer.js";
import { INVENTORY_TIMING } from "../../dist/heartbeat/inventory/inventory-pace.js";
import { Calm } from "../../dist/heartbeat/presence/calm.js";
import { createId } from "../../dist/lib/ids.js";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import { openDatabase } from "../../dist/store/database.js";
import type { HeartbeatRow } from "../../dist/store/sessions/heartbeats.js";
import { type AgentRows, insertAgentRows } from "../support/database/agent-rows.js";
import { connectTo, createTestDatabase } from "../support/database/database.js";
import { recordStatements } from "../support/database/statements.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";

async function setUp(t: Test, agents: number) {
  const test = await createTestDatabase(t);
  const rows = await insertAgentRows(test, agents);
  const database = openDatabase({ url: test.url, maxConnections: 2 });
  t.teardown(() => database.close());
  const { logger, lines } = createTestLog();
  const events = new HeartbeatEvents(logger);
  const calm = new Calm({ comeBackMs: 60_000 });
  const outbox = createClosedOutbox();
  const writer = new HeartbeatWriter({
    database,
    outbox,
    events,
    calm,
    inventoryTiming: INVENTORY_TIMING,
    commitDelayMs: 0,
  });
  let batches = 0;
  const transaction = database.transaction;
  database.transaction = (work, options) => {
    batches += 1;
    return transaction(work, options);
  };
  return { ...test, rows, writer, lines, batches: () => batches };
}

function row(agent: AgentRows | undefined, fields: Partial<HeartbeatRow> = {}): HeartbeatRow {
  if (agent === undefined) throw new Error("no such agent");
  return {
    ...agent,
    metricId: createId(),
    epoch: 1,
    receivedAt: new Date(),
    cpuPercent: 1,
    memoryPercent: 2,
    diskPercent: 3,
    uptimeSeconds: 4,
    takenAtUnix: 5,
    agentVersion: null,
    os: null,
    osVersion: null,
    arch: null,
    inventory: null,
    isRepeat: false,
    intervalMs: null,
    ...fields,
  };
}

t.test("a displaced session's heartbeat and the new one's are written in one batch, in either order", async (t) => {
  const { query, rows, writer, batches } = await setUp(t, 2);
  await query(
    `insert into networks (id, organisation_id, name, cidr) values ('n', 'organisation', 'lan', '192.0.2.0/24')`,
  );
  const inventory = {
    inventory: { metadata: '{"disks":[]}', ipAddresses: ["192.0.2.1"], digest: "a", addressesDigest: "b" },
  };
  for (const [index, agent] of rows.entries()) {
    const displaced = row(agent, { epoch: 1, cpuPercent: 10 });
    const current = row(agent, { epoch: 2, cpuPercent: 20, ...inventory });
    const both = index === 0 ? [{ ...displaced, ...inventory }, current] : [current, displaced];
    await Promise.all(both.map((heartbeat) => writer.write(heartbeat, 1)));
    t.equal(batches(), index + 1, "one transaction, which was not halved");
    t.match(
      await query("select cpu_percent, ip_addresses, metadata from hosts where id = $1", [agent.hostId]),
      [{ cpu_percent: 20, ip_addresses: ["192.0.2.1"], metadata: { disks: [] } }],
      "the host is as the newer session says",
    );
    t.match(
      await query("select network_id from host_network_memberships where host_id = $1 and deleted_at is null", [
        agent.hostId,
      ]),
      [{ network_id: "n" }],
    );
    t.match(await query("select count(*)::int from host_metrics where host_id = $1", [agent.hostId]), [{ count: 2 }]);
  }
});

t.test("while a host is locked, only the newest session's heartbeat waits for it", async (t) => {
  const { url, query, rows, writer } = await setUp(t, 1);
  const [agent] = rows;
  const openSession = (epoch: number) =>
    query(
      `insert into ingest.agent_sessions (agent_id, epoch, instance_id) values ($1, $2, 'i')
       on conflict (agent_id) do update set epoch = excluded.epoch`,
      [agent?.agentId, epoch],
    );
  const holder = await connectTo(t, url);
  await holder.query("begin; select from hosts for update");
  await openSession(1);
  const left = writer.write(row(agent, { epoch: 1 }), 1);
  await openSession(2);
  const waiting = writer.write(row(agent, { epoch: 2 }), 1);
  await t.rejects(left, { code: "session_displaced" });
  t.equal(writer.waitingBytes, 1);
  await holder.query("commit");
  await waiting;
});

t.test("a batch is two statements, and no table is read whole that has grown since they were planned", async (t) => {
  const { query, rows, writer } = await setUp(t, 3);
  const write = (agents: AgentRows[]) => Promise.all(agents.map((agent) => writer.write(row(agent), 1)));
  await query("analyze");
  await write(rows);
  await query(
    `with a as (
       insert into agents (id, organisation_id, hostname, public_key, status)
       select 'more-' || i, 'organisation', 'more-' || i, 'more ' || i, 'active' from generate_series(1, 5000) i
       returning id
     )
     insert into hosts (id, organisation_id, agent_id, hostname) select id, 'organisation', id, id from a`,
  );
  const added = Array.from({ length: 20 }, (_, i) => `more-${i + 1}`);
  const statements = await recordStatements(() =>
    write(added.map((id) => ({ agentId: id, hostId: id, organisationId: "organisation" }))),
  );
  t.equal(statements.length, 2);
  const readTables = () =>
    query(
      `select n_tup_upd::int as updated, seq_tup_read < 5000 as by_key from pg_stat_user_tables
       where relname in ('hosts', 'agents')`,
    );
  // The server counts what a session did a moment after it did it.
  await eventually(readTables, (tables) => tables.every(({ updated }) => Number(updated) >= 23));
  t.match(await readTables(), [{ by_key: true }, { by_key: true }]);
});

t.test("a heartbeat that is refused in COMMIT, by a deferred constraint, fails alone", async (t) => {
  const { query, rows, writer } = await setUp(t, 5);
  await query(
    `create function refuse() returns trigger language plpgsql as
     $$ begin raise exception 'no' using errcode = 'check_violation'; end $$`,
  );
  await query(
    `create constraint trigger refuse after insert on host_metrics deferrable initially deferred
     for each row when (new.cpu_percent = 99) execute function refuse()`,
  );
  const heartbeats = rows.map((agent, index) => row(agent, { cpuPercent: index === 2 ? 99 : 1 }));
  const results = await Promise.allSettled(heartbeats.map((heartbeat) => writer.write(heartbeat, 1)));
  t.match(results[2], { status: "rejected", reason: { code: "not_storable" } });
  const acknowledged = heartbeats.filter((_, index) => results[index]?.status === "fulfilled");
  const stored = await query<{ id: string }>("select id from host_metrics");
  t.equal(acknowledged.length, 4);
  t.same(new Set(stored.map(({ id }) => id)), new Set(acknowledged.map(({ metricId }) => metricId)));
});
