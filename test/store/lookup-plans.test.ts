import pg from "pg";
import t from "tap";
import { openDatabase } from "../../dist/store/database.js";
import { findKeys } from "../../dist/store/enrolment/known-agents.js";
import { findMatchingHosts } from "../../dist/store/enrolment/matching-hosts.js";
import type { Transaction } from "../../dist/store/transaction.js";
import { createTestDatabase } from "../support/database/database.js";
import { recordStatements } from "../support/database/statements.js";

const HOSTS = 1_500;

t.test("a lookup of a registration reads few rows, also of tables that were never analysed", async (t) => {
  const { url, query } = await createTestDatabase(t);
  for (const table of ["agents", "hosts", "ingest.agent_registrations"]) {
    await query(`alter table ${table} set (autovacuum_enabled = false)`);
  }
  await query("insert into organisations (id, name, slug) values ('o', 'o', 'o')");
  await query(
    `with a as (
       insert into agents (id, organisation_id, hostname, public_key, status)
       select 'agent' || i, 'o', 'host-' || i, 'key ' || i, 'active' from generate_series(1, $1::int) i
       returning id, hostname
     ), r as (
       insert into ingest.agent_registrations (agent_id, identifying_addresses)
       select id, array['10.0.0.' || substr(id, 6)] from a
     )
     insert into hosts (id, organisation_id, agent_id, hostname) select 'host' || id, 'o', id, hostname from a`,
    [HOSTS],
  );
  const database = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => database.close());
  await database.db.execute("select");
  const machine = (n: number) => ({ organisationId: "o", hostname: `new-${n}`, addresses: [`10.1.0.${n}`] });
  const lookups: [string, (tx: Transaction) => Promise<unknown>][] = [
    ["keys", (tx) => findKeys(tx, ["key 1", "key 2", "a new key"])],
    ["matching hosts", (tx) => findMatchingHosts(tx, [machine(1), machine(2)], (addresses) => addresses)],
  ];
  for (const [name, lookup] of lookups) {
    const [statement] = await recordStatements(() => database.transaction(lookup, { keepsStatements: true }));
    const client = new pg.Client(url);
    await client.connect();
    await client.query("set plan_cache_mode = force_generic_plan; set enable_seqscan = off");
    await client.query(`prepare lookup as ${statement?.text}`);
    const values = statement?.values.map((value) => pg.escapeLiteral(`{"${(value as string[]).join('","')}"}`));
    const { rows } = await client.query(`explain (analyze, format json) execute lookup(${values?.join()})`);
    await client.end();
    const plan = JSON.stringify(rows[0]["QUERY PLAN"]);
    const read = [...plan.matchAll(/"(?:Actual Rows|Rows Removed by Filter)":([\d.]+)/g)].map(([, count]) =>
      Number(count),
    );
    t.ok(read.length > 5, name);
    t.ok(Math.max(...read) < 50, `${name}: ${Math.max(...read)} rows at most`);
  }
});
