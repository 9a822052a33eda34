import t from "tap";
import { enrol, heartbeat, openLiveStream } from "../support/agents/field-agent.js";
import { insertAgentRows } from "../support/database/agent-rows.js";
import { createTestDatabase } from "../support/database/database.js";
import { startTestService, type TestService } from "../support/service.js";

const TABLES = ["agents", "hosts"];

/** The one row of each table, by column. */
async function readRows({ database }: TestService): Promise<Record<string, unknown>[]> {
  const rows = await Promise.all(TABLES.map((table) => database.query(`select to_jsonb(x) as row from ${table} x`)));
  return rows.map(([first]) => first?.row);
}

t.test("no index stands on what a heartbeat changes, so its updates stay in place (HOT)", async (t) => {
  const service = await startTestService(t);
  const identity = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, identity);
  // The first heartbeat has brought addresses, disks and interfaces.
  const before = await readRows(service);
  stream.send(heartbeat(identity.agentId, { cpuPercent: 1, memoryPercent: 2, diskPercent: 3, uptimeSeconds: 4 }));
  await stream.next();
  const after = await readRows(service);
  for (const [n, table] of TABLES.entries()) {
    const changed = Object.keys(after[n] ?? {}).filter((column) => {
      return JSON.stringify(after[n]?.[column]) !== JSON.stringify(before[n]?.[column]);
    });
    t.ok(changed.includes("updated_at"), `${table} was written: ${changed}`);
    // What an index depends on: its columns, and those of its expressions and its condition.
    const indexed = await service.database.query<{ column: string }>(
      `select distinct a.attname as column from pg_index i
       join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
                       and d.refclassid = 'pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid > 0
       join pg_attribute a on a.attrelid = i.indrelid and a.attnum = d.refobjsubid
       where i.indrelid = $1::regclass
       union
       select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
       where i.indrelid = $1::regclass`,
      [table],
    );
    const columns = indexed.map(({ column }) => column);
    t.ok(columns.includes("id"), `${table} has indexes: ${columns}`);
    t.same(
      changed.filter((column) => columns.includes(column)),
      [],
      table,
    );
  }
  stream.end();
  await stream.ended;
});

t.test("rows that are written together find room in their pages", async (t) => {
  const database = await createTestDatabase(t);
  await insertAgentRows(database, 200);
  // About as long as with a certificate, and with disks and interfaces.
  await database.query("update agents set client_cert_pem = repeat('certificate ', 90)");
  await database.query(`update hosts set metadata = jsonb_build_object('disks', repeat('disk ', 200))`);
  for (const table of TABLES) {
    await database.query(`vacuum full ${table}`);
    const [before] = await database.query<{ bytes: number }>("select pg_relation_size($1)::int as bytes", [table]);
    await database.query(`update ${table} set updated_at = now()`);
    const [after] = await database.query<{ bytes: number }>("select pg_relation_size($1)::int as bytes", [table]);
    t.equal(after?.bytes, before?.bytes, table);
  }
});
