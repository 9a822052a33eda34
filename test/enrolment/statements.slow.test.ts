import pg from "pg";
import t, { type Test } from "tap";
import { createTestKey, register, registration } from "../support/agents/field-agent.js";
import { recordStatements, type Statement } from "../support/database/statements.js";
import { startTestService, type TestService } from "../support/service.js";

/** Of few rows PostgreSQL reads a whole table more readily than of many: what holds here holds for a larger site. */
const HOSTS = 20_000;
const NEVER_MS = 2 ** 30;

interface PlanNode {
  "Node Type": string;
  "Relation Name"?: string;
  Plans?: PlanNode[];
}

/** The tables that a plan reads from one end to the other. */
function scannedTables(node: PlanNode): string[] {
  const own = node["Node Type"] === "Seq Scan" ? [node["Relation Name"] ?? ""] : [];
  return [...own, ...(node.Plans ?? []).flatMap(scannedTables)];
}

async function explain(client: pg.Client, { text, values }: Statement): Promise<string[]> {
  const { rows } = await client.query(`explain (format json) ${text}`, values);
  return scannedTables(rows[0]["QUERY PLAN"][0].Plan);
}

/** A site with so many hosts, all of them seen before and gone. */
async function populate({ database }: TestService, hosts: number): Promise<void> {
  // Without looking up a million times what a row refers to.
  await database.query("set session_replication_role = replica");
  await database.query(
    `with o as (select id from organisations), a as (
       insert into agents (id, organisation_id, hostname, public_key, status, last_heartbeat_at, client_cert_serial)
       select 'agent' || i, o.id, 'host-' || i, 'key ' || i, 'offline', now() - interval '1 hour', 'serial' || i
       from o, generate_series(1, $1) i
       returning id, organisation_id, hostname
     ), h as (
       insert into hosts (id, organisation_id, agent_id, hostname, status, ip_addresses)
       select 'host' || substr(id, 6), organisation_id, id, hostname, 'offline',
              jsonb_build_array('10.1.' || substr(id, 6)::int / 256 % 256 || '.' || substr(id, 6)::int % 256, '172.17.0.1',
                                'fd00::' || to_hex(substr(id, 6)::int))
       from a
     ), r as (
       insert into ingest.agent_registrations (agent_id, registered_at, identifying_addresses)
       select id, now() - interval '1 hour', array['fd00::' || to_hex(substr(id, 6)::int)] from a
     ), s as (
       insert into ingest.agent_sessions (agent_id, epoch, instance_id, opened_at, closed_at)
       select id, 1, 'gone', now() - interval '2 hours', now() - interval '1 hour' from a
     ), c as (
       insert into ingest.client_certificates (serial, agent_id, issuer_fingerprint_sha256, not_before, not_after)
       select 'serial' || substr(id, 6), id, 'ca', now(), now() + interval '90 days' from a
     ), v as (
       insert into revoked_certificates (id, organisation_id, serial)
       select 'revoked' || id, organisation_id, 'revoked' || id from a
     ), y as (
       insert into agent_status_history (id, agent_id, organisation_id, status)
       select 'history' || id, id, organisation_id, 'offline' from a
     ), tag as (
       insert into tags (id, organisation_id, key, value)
       select 'tag' || i, o.id, 'rack', i::text from o, generate_series(1, 4000) i
     )
     insert into resource_tags (id, organisation_id, resource_id, resource_type, tag_id)
     select 'link' || id, organisation_id, 'host' || substr(id, 6), 'host', 'tag' || 1 + substr(id, 6)::int % 4000 from a`,
    [hosts],
  );
  await database.query("reset session_replication_role");
  await database.query("vacuum analyze");
}

t.test("every statement of a registration uses an index with 20,000 hosts", async (t) => {
  // What runs by itself, and looks at whole tables now and then, is not of a registration.
  const never = { sweepMs: NEVER_MS };
  const timing = {
    sessions: never,
    work: { ...never, housekeepingMs: NEVER_MS, scanMs: NEVER_MS, signalsMs: NEVER_MS },
  };
  const service = await startTestService(t, { timing });
  await populate(service, HOSTS);
  const tags = [{ key: "env", value: "prod" }];
  const token = await service.createToken({ tags });
  const waiting = await service.createToken({ autoApprove: false, tags });
  const machine = (n: number) => ({
    agentInfo: { hostname: `host-${n}` },
    platformInfo: { os: "linux", arch: "amd64", ipAddresses: [`fd00::${n.toString(16)}`, "172.17.0.1", "fe80::1"] },
  });
  const known = createTestKey();
  const pending = createTestKey();
  const adopter = createTestKey();
  /** What is done, and what the database is made to look like before, given the key of the first agent. */
  const cases: [string, () => Promise<unknown>, string[]?][] = [
    ["a new agent", async () => register(service, await registration(known, token))],
    [
      "twenty at once",
      async () =>
        Promise.all(
          Array.from({ length: 20 }, async (_, n) =>
            register(service, await registration(createTestKey(), token, machine(200_000 + n))),
          ),
        ),
    ],
    ["a known one", async () => register(service, await registration(known, token))],
    ["a pending one", async () => register(service, await registration(pending, waiting, machine(HOSTS + 1)))],
    ["its poll", async () => register(service, await registration(pending, waiting, machine(HOSTS + 1)))],
    ["an adoption", async () => register(service, await registration(adopter, token, machine(7)))],
    ["a refusal", async () => t.rejects(register(service, await registration(createTestKey(), token, machine(7))))],
    [
      "an unusable token",
      async () => t.rejects(register(service, await registration(createTestKey(), "no token of ours"))),
    ],
    [
      "an undone adoption",
      async () => register(service, await registration(known, "")),
      [
        "update ingest.agent_adoptions set previous_public_key = $1, previous = previous #- '{agent,clientCertSerial}'",
        "update agents set public_key = 'moved away ' || public_key where public_key = $1",
      ],
    ],
    [
      "the key of a deleted agent",
      async () => register(service, await registration(known, token, machine(HOSTS + 2))),
      ["update agents set deleted_at = now() where public_key = $1"],
    ],
  ];
  for (const [name, work, preparations = []] of cases) {
    for (const preparation of preparations) await service.database.query(preparation, [known.rawPem]);
    const statements = await recordStatements(work);
    t.ok(statements.length > 1, name);
    await assertIndexed(t, service, statements, name);
  }
});

async function assertIndexed(t: Test, service: TestService, statements: Statement[], name: string): Promise<void> {
  const client = new pg.Client({ connectionString: service.database.url });
  await client.connect();
  try {
    for (const statement of statements) {
      const scanned = await explain(client, statement);
      t.same(scanned.filter(isLarge), [], `${name}: ${statement.text.trim().slice(0, 80)}`);
      // PostgreSQL reads a small table as a whole; that there is an index shows when it is told not to.
      await client.query("set enable_seqscan = off");
      t.same(await explain(client, statement), [], `${name}, small tables too`);
      await client.query("reset enable_seqscan");
    }
  } finally {
    await client.end();
  }
}

/** Of the tables that grow with the number of hosts. */
function isLarge(table: string): boolean {
  return ![
    "organisations",
    "agent_enrolment_tokens",
    "address_remarks",
    "agent_adoptions",
    "former_keys",
    "pending_cert_signings",
  ].includes(table);
}
