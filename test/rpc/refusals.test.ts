import { status as Code } from "@grpc/grpc-js";
import pg from "pg";
import t, { type Test } from "tap";
import type { Logger } from "../../dist/observe/logger.js";
import { type Refusal, RefusalRecorder } from "../../dist/rpc/refusal-recorder.js";
import { openDatabase } from "../../dist/store/database.js";
import { listRefusalsOfAgent, pruneRefusals } from "../../dist/store/enrolment/refusals.js";
import { agentCaKey, forgeCertificate } from "../support/certificates.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { eventually } from "../support/eventually.js";
import {
  createTestKey,
  enrol,
  heartbeat,
  openLiveStream,
  openStream,
  register,
  registration,
} from "../support/field-agent.js";
import { startTestService } from "../support/service.js";

const UNREACHABLE = "postgres://nobody@127.0.0.1:1/nothing";

t.test("a refused registration is recorded with what the caller is not told", async (t) => {
  const service = await startTestService(t);
  const key = createTestKey();
  const attempt = async (fields: object = {}) => register(service, await registration(key, "ctops_x", fields));
  await t.rejects(attempt(), { code: Code.UNAUTHENTICATED, details: /^(?!.*unknown)/ });
  await t.rejects(attempt(), { code: Code.UNAUTHENTICATED });
  const name = `${"n".repeat(600)}\0`;
  await t.rejects(attempt({ agentInfo: { hostname: name, version: "" } }), { code: Code.INVALID_ARGUMENT });

  const rows = await recorded(service.database, 2);
  t.match(rows, [
    {
      method: "Register",
      reason: "token_unknown",
      message: /cannot be used/,
      agent_id: null,
      public_key: key.rawPem,
      hostname: "web-01",
      remote_address: /^(127\.0\.0\.1|::1)$/,
    },
    { reason: "invalid_field", message: /agent_info.hostname/, hostname: "n".repeat(512) },
  ]);
});

t.test("an agent that its certificate names is named, whatever else is wrong with it", async (t) => {
  const service = await startTestService(t);
  const identity = await enrol(service, await service.createToken());
  const [agent] = await service.database.query("select organisation_id from agents");
  const expired = await forgeCertificate(await agentCaKey(service), {
    key: identity.key,
    uris: [`spiffe://ct-ops/org/${agent?.organisation_id}/agent/${identity.agentId}`],
    notBefore: new Date(Date.now() - 7_200_000),
    notAfter: new Date(Date.now() - 3_600_000),
  });
  const stream = openStream(service, { ...identity, certificatePem: expired });
  stream.send(heartbeat(identity.jwt));
  t.equal((await stream.ended).code, Code.UNAUTHENTICATED);
  t.match(await recorded(service.database, 1), [
    {
      method: "Heartbeat",
      reason: "client_certificate_invalid",
      message: /expired on/,
      agent_id: identity.agentId,
      public_key: null,
    },
  ]);
});

t.test("a stream that a newer one displaces was not refused", async (t) => {
  const service = await startTestService(t);
  const identity = await enrol(service, await service.createToken());
  const older = await openLiveStream(service, identity);
  const newer = await openLiveStream(service, identity);
  t.equal((await older.ended).code, Code.ABORTED);
  newer.end();
  await newer.ended;
  await service.close();
  t.same(await service.database.query("select reason from ingest.refusals"), []);
});

t.test("a call does not wait for its record, and what waits is written when the service ends", async (t) => {
  const service = await startTestService(t);
  const holder = new pg.Client({ connectionString: service.database.url });
  await holder.connect();
  t.teardown(() => holder.end());
  await holder.query("begin; lock table ingest.refusals in access exclusive mode");
  for (let attempt = 0; attempt < 3; attempt++) {
    await t.rejects(register(service, await registration(createTestKey(), "ctops_x")), { code: Code.UNAUTHENTICATED });
  }
  const closed = service.close();
  await holder.query("commit");
  await closed;
  t.same(await service.database.query("select count(*)::int from ingest.refusals"), [{ count: 3 }]);
});

t.test("a flood takes a bounded place, is told in the log, and one caller's repeats take one", async (t) => {
  const database = await createTestDatabase(t);
  const { warnings, recorder } = startRecorder(t, database.url);
  const startedAt = performance.now();
  for (let n = 0; n < 20_000; n++) recorder.record(refusal({ agentId: `agent-${n}` }));
  t.ok(performance.now() - startedAt < 1_000, "20,000 agents at once cost less than a second");
  await recorder.close();
  t.same(await database.query("select count(*)::int from ingest.refusals"), [{ count: 1_000 }]);
  t.match(warnings, [{ dropped: 19_000, kept: 1_000 }]);

  const { recorder: another } = startRecorder(t, database.url);
  for (let n = 0; n < 500; n++) another.record(refusal({ agentId: "the same" }));
  await another.close();
  t.same(await database.query("select count(*)::int from ingest.refusals where agent_id = 'the same'"), [{ count: 1 }]);
});

t.test("a database that is gone costs the record, and nothing else", async (t) => {
  const { warnings, recorder } = startRecorder(t, UNREACHABLE);
  recorder.record(refusal({ agentId: "a" }));
  await recorder.close();
  t.match(warnings, [{ dropped: 1, err: Error }]);
});

t.test("what is old or too much is deleted, the newest stays", async (t) => {
  const database = await createTestDatabase(t);
  const store = openDatabase({ url: database.url, maxConnections: 2 });
  t.teardown(() => store.close());
  const insert = (count: number, time: string) =>
    database.query(`insert into ingest.refusals (id, refused_at, method, reason, message, remote_address)
                    select gen_random_uuid()::text, ${time}, 'Register', 'x', 'x', 'x' from generate_series(1, ${count}) n`);
  await insert(10, "now() - interval '8 days'");
  await insert(10, "now() - interval '6 days'");
  await Promise.all([pruneRefusals(store.db), pruneRefusals(store.db)]);
  t.same(await database.query("select count(*)::int from ingest.refusals"), [{ count: 10 }], "seven days");
  await insert(10_040, "now() - n * interval '1 s'");
  await pruneRefusals(store.db);
  t.same(
    await database.query(
      "select count(*)::int, min(refused_at) > now() - interval '4 hours' as newest from ingest.refusals",
    ),
    [{ count: 10_000, newest: true }],
  );
});

t.test("the refusals of an agent: its id, its key, its hostname in any case; the newest first", async (t) => {
  const database = await createTestDatabase(t);
  const store = openDatabase({ url: database.url, maxConnections: 1 });
  t.teardown(() => store.close());
  await database.query(`
    insert into ingest.refusals (id, refused_at, method, reason, message, agent_id, public_key, hostname, remote_address)
    values ('by-id', now() - interval '3 s', 'Heartbeat', 'x', 'x', 'agent', null, null, 'x'),
           ('by-key', now() - interval '2 s', 'Register', 'x', 'x', null, 'key', 'old-name', 'x'),
           ('by-name', now() - interval '1 s', 'Register', 'x', 'x', null, 'other key', 'WEB-01', 'x'),
           ('foreign', now(), 'Register', 'x', 'x', 'other', 'other key', 'web-02', 'x')`);
  const agent = { agentId: "agent", publicKey: "key", hostname: "web-01" };
  const ids = async (limit: number) => (await listRefusalsOfAgent(store.db, { ...agent, limit })).map(({ id }) => id);
  t.same(await ids(10), ["by-name", "by-key", "by-id"]);
  t.same(await ids(2), ["by-name", "by-key"]);
});

function recorded(database: TestDatabase, count: number): Promise<pg.QueryResultRow[]> {
  return eventually(
    () => database.query("select * from ingest.refusals order by refused_at"),
    (rows) => rows.length >= count,
  );
}

function refusal(fields: Partial<Refusal>): Refusal {
  const base = { method: "Heartbeat", reason: "agent_not_allowed", message: "revoked", remoteAddress: "192.0.2.1" };
  return { ...base, agentId: undefined, claim: undefined, ...fields };
}

function startRecorder(t: Test, url: string): { recorder: RefusalRecorder; warnings: unknown[] } {
  const store = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => store.close());
  const warnings: unknown[] = [];
  const logger = { warn: (fields: unknown) => warnings.push(fields) } as unknown as Logger;
  return { recorder: new RefusalRecorder({ db: store.db, logger }), warnings };
}
