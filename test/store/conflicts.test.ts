import { sql } from "drizzle-orm";
import t, { type Test } from "tap";
import { type Database, openDatabase } from "../../dist/store/database.js";
import { recordRegistrations } from "../../dist/store/enrolment/agent-registrations.js";
import { replaceClientCertificate } from "../../dist/store/identity/client-certificates.js";
import { insertAgentRows } from "../support/database/agent-rows.js";
import { connectTo, createTestDatabase, type TestDatabase, untilLockedOut } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";

const GATE = 7;
const NEXT_DAY = new Date(Date.now() + 24 * 60 * 60 * 1000);

/** A statement by itself, which locks the agent's row, and then waits at a table of its own. */
interface Statement {
  name: string;
  /** Where it waits. */
  table: string;
  run: (database: Database) => Promise<boolean>;
  /** What another session holds there. */
  held: string;
}

const CERTIFICATE = {
  pem: "a certificate",
  serial: "abc",
  notBefore: new Date(),
  notAfter: NEXT_DAY,
  issuerFingerprintSha256: "a CA",
};

const STATEMENTS: readonly Statement[] = [
  {
    name: "recordRegistrations",
    table: "agent_registrations",
    run: async ({ db }) => {
      const record = { identifyingAddresses: [], remoteAddress: "192.0.2.1", showedCertificate: false };
      const agent = { id: "agent-1", status: "active" };
      const [recorded] = await recordRegistrations(db, [{ agent, publicKey: "key 1", ...record }]);
      return recorded === "recorded";
    },
    held: `insert into ingest.agent_registrations (agent_id, identifying_addresses, remote_address, showed_certificate)
           values ('agent-1', '{}', '192.0.2.2', false)`,
  },
  {
    name: "replaceClientCertificate",
    table: "client_certificates",
    run: ({ db }) => replaceClientCertificate(db, "agent-1", { publicKey: "key 1", serial: null }, CERTIFICATE),
    held: `insert into ingest.client_certificates (serial, agent_id, issuer_fingerprint_sha256, not_before, not_after)
           values ('abc', 'agent-2', 'a CA', now(), now() + interval '1 day')`,
  },
];

/**
 * Has a statement meet a transaction in a deadlock, of which the statement is the victim: the one that closes the circle
 * waits last, and the other one looks for no deadlock. A trigger holds the statement up until the circle is closed but for it.
 */
async function meetInDeadlock(t: Test, { url, query }: TestDatabase, database: Database, statement: Statement) {
  await query(`create or replace function wait_at_gate() returns trigger language plpgsql as
    'begin perform pg_advisory_xact_lock_shared(${GATE}); return new; end'`);
  await query(`create trigger gate before insert on ingest.${statement.table}
    for each row when (current_setting('application_name') <> 'test') execute function wait_at_gate()`);
  await query("select pg_advisory_lock($1)", [GATE]);
  const other = await connectTo(t, url);
  await other.query("begin");
  await other.query("set local deadlock_timeout = '10min'");
  await other.query(statement.held);
  const done = statement.run(database);
  await untilLockedOut({ query });
  const locked = other.query("select from agents where id = 'agent-1' for update");
  await untilLockedOut({ query }, 2);
  await query("select pg_advisory_unlock($1)", [GATE]);
  // The victim's lock is gone, or the other one would wait for ever.
  await locked;
  await other.query("rollback");
  return done;
}

t.test("a statement that ends in a deadlock runs again", async (t) => {
  for (const statement of STATEMENTS) {
    const testDatabase = await createTestDatabase(t);
    await insertAgentRows(testDatabase, 2);
    const database = openDatabase({ url: testDatabase.url, maxConnections: 1 });
    t.ok(await meetInDeadlock(t, testDatabase, database, statement), statement.name);
    // What its connection counted is known when that has ended.
    await database.close();
    t.match(
      await eventually(
        () => testDatabase.query("select deadlocks::int from pg_stat_database where datname = current_database()"),
        ([row]) => row?.deadlocks > 0,
      ),
      [{ deadlocks: 1 }],
    );
  }
});

t.test("a statement that ends in a serialization failure runs again", async (t) => {
  const { url, query } = await createTestDatabase(t);
  const database = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => database.close());
  await query("create table counters (id int, place int, count int not null default 0) partition by list (place)");
  await query("create table here partition of counters for values in (1)");
  await query("create table there partition of counters for values in (2)");
  await query("insert into counters values (1, 1)");
  const other = await connectTo(t, url);
  await other.query("begin");
  // A row that moves to another partition while somebody waits for it: 40001 in every isolation level.
  await other.query("update counters set place = 2");
  const done = database.db.execute(sql`update counters set count = count + 1 where id = 1`).execute();
  await untilLockedOut({ query });
  await other.query("commit");
  t.equal((await done).rowCount, 1);
  t.same(await query("select place, count from counters"), [{ place: 2, count: 1 }]);
});
