import { createId } from "../../../dist/lib/ids.js";
import type { TestDatabase } from "./database.js";

/** A host with its agent, as the rows of both stand in the database. */
export interface TestHost {
  agentId: string;
  hostId: string;
  organisationId: string;
}

/** Makes an organisation, and hosts with active agents in it. */
export async function insertHosts({ query }: TestDatabase, count: number): Promise<TestHost[]> {
  const organisationId = createId();
  await query("insert into organisations (id, name, slug) values ($1, 'Work', $1)", [organisationId]);
  const hosts = Array.from({ length: count }, () => ({ agentId: createId(), hostId: createId(), organisationId }));
  const rows = JSON.stringify(hosts);
  await query(
    `insert into agents (id, organisation_id, hostname, public_key, status)
     select "agentId", "organisationId", "agentId", "agentId", 'active'
     from jsonb_to_recordset($1::jsonb) as h("agentId" text, "organisationId" text)`,
    [rows],
  );
  await query(
    `insert into hosts (id, organisation_id, agent_id, hostname, status)
     select "hostId", "organisationId", "agentId", "agentId", 'online'
     from jsonb_to_recordset($1::jsonb) as h("hostId" text, "agentId" text, "organisationId" text)`,
    [rows],
  );
  return hosts;
}

/** Makes a check as the web app does. */
export async function insertCheck({ query }: TestDatabase, host: TestHost, fields: object = {}): Promise<string> {
  const row = { id: createId(), check_type: "port", config: { host: "localhost", port: 22 }, enabled: true, ...fields };
  await query(
    `insert into checks (id, organisation_id, host_id, name, check_type, config, enabled)
     values ($1, $2, $3, 'check', $4, $5, $6)`,
    [row.id, host.organisationId, host.hostId, row.check_type, JSON.stringify(row.config), row.enabled],
  );
  return row.id;
}

/** Makes a query as the web app does. */
export async function insertQuery({ query }: TestDatabase, host: TestHost, type = "list_ports"): Promise<string> {
  const id = createId();
  await query(
    `insert into agent_queries (id, organisation_id, host_id, query_type, expires_at)
     values ($1, $2, $3, $4, now() + interval '2 minutes')`,
    [id, host.organisationId, host.hostId, type],
  );
  return id;
}

/** A task run as the web app makes one. */
export interface TestRun {
  runId: string;
  /** In the order of the hosts. */
  taskIds: string[];
}

/** Makes a run with a row for each host, in one transaction. */
export async function insertRun(
  { query }: TestDatabase,
  hosts: readonly TestHost[],
  { type = "custom_script", maxParallel = 0, status = "pending" } = {},
): Promise<TestRun> {
  const runId = createId();
  const rows = hosts.map(({ hostId, organisationId }) => ({ id: createId(), hostId, organisationId }));
  await query(
    `with run as (
       insert into task_runs (id, organisation_id, target_type, target_id, task_type, config, max_parallel, status)
       values ($1, $2, 'group', 'g', $3, '{"script": "true"}', $4, $6)
     )
     insert into task_run_hosts (id, organisation_id, task_run_id, host_id, status, started_at)
     select id, "organisationId", $1, "hostId", $6, case when $6 = 'pending' then null else now() end
     from jsonb_to_recordset($5::jsonb) as r(id text, "organisationId" text, "hostId" text)`,
    [runId, hosts[0]?.organisationId, type, maxParallel, JSON.stringify(rows), status],
  );
  return { runId, taskIds: rows.map(({ id }) => id) };
}

/** A row of `task_run_hosts`, as far as tests look at it. */
export interface TaskRow {
  id: string;
  status: string;
  exit_code: number | null;
  raw_output: string;
  result: unknown;
  started_at: Date | null;
  completed_at: Date | null;
}

/** The rows of a run, in the order of their ids as given. */
export async function readTasks({ query }: TestDatabase, taskIds: readonly string[]): Promise<TaskRow[]> {
  return query<TaskRow & Record<string, unknown>>(
    `select t.id, t.status, t.exit_code, t.raw_output, t.result, t.started_at, t.completed_at
     from unnest($1::text[]) with ordinality as w(id, nth) join task_run_hosts t on t.id = w.id order by nth`,
    [taskIds],
  );
}

/** The status of a run. */
export async function readRunStatus({ query }: TestDatabase, runId: string): Promise<string | undefined> {
  const [row] = await query<{ status: string }>("select status from task_runs where id = $1", [runId]);
  return row?.status;
}
