import { readFile } from "node:fs/promises";
import type { Test } from "tap";
import { createTestCsr, type TestKey } from "../agents/field-agent.js";
import { createEmptyDatabase, type TestDatabase } from "./database.js";

/** The organisation of the agents that {@link addEarlierAgent} adds: its id was chosen by a person. */
export const PLATFORM_ORGANISATION = "Acme_Corp.1";

/** A database in the shape that the web app gives it, with rows of its and of the earlier service's. */
export async function createPlatformDatabase(t: Test): Promise<TestDatabase> {
  const database = await createEmptyDatabase(t);
  await database.query(await readSql("platform-database.sql"));
  await database.query(await readSql("platform-rows.sql"));
  return database;
}

function readSql(name: string): Promise<string> {
  // From test-dist/support, where this runs.
  return readFile(new URL(`../../../test/support/database/${name}`, import.meta.url), "utf8");
}

/** An agent as the earlier service left it. */
export interface EarlierAgent {
  id: string;
  key: TestKey;
  status: "pending" | "active" | "offline" | "revoked";
  hostId: string;
  /** Whether its CSR waits for an approval. */
  csrWaits?: boolean;
}

/** Adds an agent, and its host, as the earlier service left them: without a certificate. */
export async function addEarlierAgent({ query }: TestDatabase, agent: EarlierAgent): Promise<void> {
  const { id, key, status, hostId } = agent;
  await query(
    `insert into agents (id, organisation_id, hostname, public_key, status, version, os, arch, enrolment_token_id)
     values ($1, $2, $3, $4, $5, 'v0.9.1', 'linux', 'amd64', 't1')`,
    [id, PLATFORM_ORGANISATION, `host-of-${id}`, key.rawPem, status],
  );
  await query("insert into hosts (id, organisation_id, agent_id, hostname, status) values ($1, $2, $3, $4, $5)", [
    hostId,
    PLATFORM_ORGANISATION,
    id,
    `host-of-${id}`,
    status === "active" ? "online" : "unknown",
  ]);
  if (agent.csrWaits) {
    await query("insert into pending_cert_signings (id, agent_id, csr_der) values ($1, $2, $3)", [
      `csr-${id}`,
      id,
      createTestCsr(key),
    ]);
  }
}

/** Every row of the schemas of the web app, by table, each as one line. */
export async function dumpRows({ query }: TestDatabase): Promise<Map<string, string[]>> {
  const tables = await query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname in ('public', 'drizzle') order by 1`,
  );
  const dump = new Map<string, string[]>();
  for (const { name } of tables) {
    const rows = await query<{ row: string }>(`select to_jsonb(t)::text as row from ${name} t order by 1`);
    dump.set(
      name,
      rows.map(({ row }) => row),
    );
  }
  return dump;
}

/** Everything that the catalogue knows of the schemas of the web app, each as one line. */
export async function dumpCatalogue({ query }: TestDatabase): Promise<string[]> {
  const rows = await query<{ line: string }>(`
    with relations as (
      select c.oid, c.oid::regclass::text as name, c.relkind, c.relowner::regrole::text as owner, c.relacl::text as acl
      from pg_class c
      where c.relnamespace in (to_regnamespace('public'), to_regnamespace('drizzle')) and c.relkind <> 'i'
    )
    select format('relation %s %s %s %s', relkind, name, owner, acl) as line from relations
    union all
    select format('column %s.%s %s %s null=%s default=%s generated=%s', r.name, a.attname, a.attnum,
                  format_type(a.atttypid, a.atttypmod), not a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attgenerated)
    from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    union all
    select format('constraint %s %s %s', r.name, k.conname, pg_get_constraintdef(k.oid))
    from relations r join pg_constraint k on k.conrelid = r.oid
    union all
    select format('index %s', pg_get_indexdef(i.indexrelid)) from relations r join pg_index i on i.indrelid = r.oid
    union all
    select format('trigger %s', pg_get_triggerdef(g.oid)) from relations r
    join pg_trigger g on g.tgrelid = r.oid and not g.tgisinternal
    union all
    select format('view %s %s', name, pg_get_viewdef(oid)) from relations where relkind = 'v'
    union all
    select format('function %s', oid::regprocedure) from pg_proc
    where pronamespace in (to_regnamespace('public'), to_regnamespace('drizzle'))
    union all
    select format('type %s', typname) from pg_type
    where typnamespace in (to_regnamespace('public'), to_regnamespace('drizzle')) and typtype in ('e', 'd')
    order by 1`);
  return rows.map(({ line }) => line);
}
