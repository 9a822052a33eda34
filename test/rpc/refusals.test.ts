import { status as Code } from "@grpc/grpc-js";
import pg from "pg";
import t, { type Test } from "tap";
import type { Logger } from "../../dist/observe/logger.js";
import { type Refusal, RefusalRecorder } from "../../dist/rpc/refusals/refusal-recorder.js";
import { openDatabase } from "../../dist/store/database.js";
import { listRefusalsOfAgent, pruneRefusals } from "../../dist/store/enrolment/refusals.js";
import {
  createTestKey,
  enrol,
  heartbeat,
  openLiveStream,
  openStream,
  register,
  registerAll,
  registration,
} from "../support/agents/field-agent.js";
import { agentCaKey, createForeignCaKey, forgeCertificate } from "../support/certificates/certificates.js";
import { runCommand } from "../support/commands/cli.js";
import { createTestDatabase, type TestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { startTestService } from "../support/service.js";
import { shareTestService } from "../support/shared-service.js";

const sharedService = shareTestService(t);
const UNREACHABLE = "postgres://nobody@127.0.0.1:1/nothing";

t.test("a refused registration is recorded with what the caller is not told", async (t) => {
  const service = await sharedService();
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
      share: /^source:(127\.0\.0\.1|0:0:0:0::\/64)$/,
    },
    { reason: "invalid_field", message: /agent_info.hostname/, hostname: "n".repeat(255) },
  ]);
});

t.test("nothing is filed under a host, or a key, of whoever did not prove a key", async (t) => {
  const service = await sharedService();
  const token = await service.createToken();
  const identity = await enrol(service, token, { agentInfo: { hostname: "web-01", version: "" } });
  const { query } = service.database;
  await query("update agents set status = 'revoked'");
  const stream = openStream(service, identity);
  stream.send(heartbeat(identity.jwt));
  t.equal((await stream.ended).code, Code.PERMISSION_DENIED);
  const { csrDer: foreignProof } = await registration(createTestKey(), token);
  const attempts = Array.from({ length: 25 }, (_, n) => `ctops_${n}`);
  const foreign = attempts.map((guess) => registration(identity.key, guess, { csrDer: foreignProof }));
  // Whoever proves a key of its own may still say what it likes of its hostname.
  const proven = attempts.map((guess) => registration(createTestKey(), guess, { agentInfo: { hostname: "WEB-01" } }));
  for (const [requests, code] of [
    [foreign, Code.INVALID_ARGUMENT],
    [proven, Code.UNAUTHENTICATED],
  ] as const) {
    const settled = await registerAll(service, await Promise.all(requests));
    t.ok(settled.every((result) => result.status === "rejected" && result.reason.code === code));
  }
  await eventually(
    () => query("select reason, count(*)::int from ingest.refusals group by reason"),
    (rows) => rows.length === 3 && rows.some(({ reason, count }) => reason === "token_unknown" && count === 25),
  );
  const [malformed] = await query("select * from ingest.refusals where reason = 'invalid_field' limit 1");
  t.match(malformed, { public_key: null, hostname: null, agent_id: null });
  const { output } = await runCommand(service.env, ["agent", "show", identity.agentId, "--json"]);
  const matches = JSON.parse(output).refusals.map(({ reason, matchedBy }: Record<string, string>) =>
    [reason, matchedBy].join(" "),
  );
  t.same(new Set(matches), new Set(["agent_not_allowed id", "token_unknown hostname"]));
  t.ok(matches.length <= 11, `${matches.length}`);
});

t.test(
  "who was refused before it was known is found by the key it showed, and by the certificate's number",
  async (t) => {
    const service = await sharedService();
    const identity = await enrol(service, await service.createToken());
    const { query } = service.database;
    const foreignCa = createForeignCaKey();
    const uris = [`spiffe://ct-ops/org/x/agent/${identity.agentId}`];
    const [agent] = await query("select client_cert_serial as serial from agents");
    const otherKey = createTestKey();
    const forgeries = [
      { certificatePem: await forgeCertificate(foreignCa, { key: identity.key, uris }) },
      {
        privateKeyPem: otherKey.privateKeyPem,
        certificatePem: await forgeCertificate(foreignCa, { key: otherKey, uris, serial: agent?.serial }),
      },
    ];
    for (const forgery of forgeries) {
      const stream = openStream(service, { ...identity, ...forgery });
      stream.send(heartbeat(identity.jwt));
      t.equal((await stream.ended).code, Code.UNAUTHENTICATED);
    }
    const rows = await recorded(service.database, 2);
    t.match(rows, [
      { agent_id: null, share: `agent:${identity.agentId}` },
      { agent_id: null, share: /^source:/, certificate_serial: agent?.serial },
    ]);
    const { output } = await runCommand(service.env, ["agent", "show", identity.agentId, "--json"]);
    t.match(JSON.parse(output).refusals, [
      { method: "Heartbeat", reason: "client_certificate_issuer_unknown", matchedBy: "serial" },
      { method: "Heartbeat", reason: "client_certificate_issuer_unknown", matchedBy: "key" },
    ]);
  },
);

t.test("a flood from one address costs the log little, and the record of others nothing", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, {
    logger,
    timing: { refusalSummaryMs: 600_000 },
    env: { INGEST_REGISTER_REFUSALS_PER_MINUTE: "30" },
  });
  const identity = await enrol(service, await service.createToken());
  const before = JSON.stringify(lines).length;
  const guesses = Array.from({ length: 600 }, (_, n) => registration(createTestKey(), `guess ${n}`));
  const settled = await registerAll(service, await Promise.all(guesses));
  t.ok(settled.every(({ status }) => status === "rejected"));
  // Of an agent that is known, from the same address.
  await service.database.query("update agents set status = 'revoked'");
  const stream = openStream(service, identity);
  stream.send(heartbeat(identity.jwt));
  t.equal((await stream.ended).code, Code.PERMISSION_DENIED);
  await service.close();
  t.ok(JSON.stringify(lines).length - before < 150_000, `${JSON.stringify(lines).length - before} bytes`);
  t.match(
    lines.find(({ msg }) => msg === "many calls were refused"),
    {
      refused: 601,
      untold: 400,
      reasons: { token_unknown: 30, too_many_refusals: 570, agent_not_allowed: 1 },
      sources: 1,
      busiest: [{ source: /^(127\.0\.0\.1|0:0:0:0::\/64)$/, refused: 601 }],
    },
  );
  t.match(await service.database.query("select reason from ingest.refusals where agent_id is not null"), [
    { reason: "agent_not_allowed" },
  ]);
});

t.test("a refusal that is expected is told with its cause, and without a stack", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { logger });
  const identity = await enrol(service, await service.createToken());
  const stream = openStream(service, identity);
  stream.send(heartbeat(`${identity.jwt}x`));
  t.equal((await stream.ended).code, Code.UNAUTHENTICATED);
  const refused = lines.filter(({ msg }) => msg === "call refused");
  t.match(refused, [{ agentId: identity.agentId, cause: /signature/ }]);
  t.notMatch(JSON.stringify(refused), /stack| at /);
});

t.test("an agent that its certificate names is named, whatever else is wrong with it", async (t) => {
  const service = await sharedService();
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
      public_key: identity.key.rawPem,
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
  for (let n = 0; n < 20_000; n++) recorder.record(refusal(`agent-${n}`));
  t.ok(performance.now() - startedAt < 1_000, "20,000 agents at once cost less than a second");
  await recorder.close();
  t.same(await database.query("select count(*)::int from ingest.refusals"), [{ count: 1_000 }]);
  t.match(warnings, [{ dropped: 19_000, kept: 1_000 }]);

  const { recorder: another } = startRecorder(t, database.url);
  for (let n = 0; n < 500; n++) another.record(refusal("the same"));
  await another.close();
  t.same(await database.query("select count(*)::int from ingest.refusals where agent_id = 'the same'"), [{ count: 1 }]);
});

t.test("a database that is gone costs the record, and nothing else", async (t) => {
  const { warnings, recorder } = startRecorder(t, UNREACHABLE);
  recorder.record(refusal("a"));
  await recorder.close();
  t.match(warnings, [{ dropped: 1, err: Error }]);
});

t.test(
  "what is old or too much is deleted: of each share, of agents and of all others; the newest stays",
  async (t) => {
    const database = await createTestDatabase(t);
    const store = openDatabase({ url: database.url, maxConnections: 2 });
    t.teardown(() => store.close());
    const insert = (count: number, time: string, share: string) =>
      database.query(`insert into ingest.refusals (id, refused_at, method, reason, message, remote_address, share)
                    select gen_random_uuid()::text, ${time}, 'Register', 'x', 'x', 'x', ${share}
                    from generate_series(1, ${count}) n`);
    const counts = () =>
      database.query(`select split_part(share, ':', 1) as of, count(*)::int, min(refused_at) > now() - interval '4 hours' as newest
                    from ingest.refusals group by 1 order by 1`);
    await insert(10, "now() - interval '8 days'", "'agent:a'");
    await insert(10, "now() - interval '6 days'", "'agent:a'");
    await Promise.all([pruneRefusals(store.db), pruneRefusals(store.db)]);
    t.same(await counts(), [{ of: "agent", count: 10, newest: false }], "seven days");
    await insert(60, "now() - n * interval '1 s'", "'agent:a'");
    await insert(2_000, "now() - n * interval '1 ms'", "'source:flood'");
    await pruneRefusals(store.db);
    t.same(
      await counts(),
      [
        { of: "agent", count: 50, newest: true },
        { of: "source", count: 50, newest: true },
      ],
      "fifty of each",
    );
    await insert(10_040, "now() - n * interval '1 s'", "'agent:' || n");
    await insert(5_040, "now() - n * interval '1 s'", "'source:' || n");
    await pruneRefusals(store.db);
    t.same(await counts(), [
      { of: "agent", count: 10_000, newest: true },
      { of: "source", count: 5_000, newest: true },
    ]);
  },
);

t.test(
  "refusals of an agent, and of those who say to be it; the newest first, each with a limit of its own",
  async (t) => {
    const database = await createTestDatabase(t);
    const store = openDatabase({ url: database.url, maxConnections: 1 });
    t.teardown(() => store.close());
    await database.query(`
    insert into ingest.refusals
      (id, refused_at, method, reason, message, agent_id, public_key, certificate_serial, hostname, remote_address)
    values ('by-id', now() - interval '4 s', 'Heartbeat', 'x', 'x', 'agent', null, null, null, 'x'),
           ('by-key', now() - interval '3 s', 'Register', 'x', 'x', null, 'key', 'ab', 'web-01', 'x'),
           ('by-serial', now() - interval '2 s', 'Heartbeat', 'x', 'x', null, null, 'ab', null, 'x'),
           ('by-name', now() - interval '1 s', 'Register', 'x', 'x', null, 'other key', null, 'WEB-01', 'x'),
           ('foreign', now(), 'Register', 'x', 'x', 'other', 'other key', 'cd', 'web-02', 'x')`);
    const agent = { agentId: "agent", publicKey: "key", serials: ["ab"], hostname: "web-01" };
    const ids = async (limits: { proven: number; said: number }) =>
      (await listRefusalsOfAgent(store.db, agent, limits)).map(({ id }) => id);
    t.same(await ids({ proven: 10, said: 10 }), ["by-name", "by-serial", "by-key", "by-id"]);
    t.same(await ids({ proven: 1, said: 1 }), ["by-name", "by-key"]);
  },
);

function recorded(database: TestDatabase, count: number): Promise<pg.QueryResultRow[]> {
  return eventually(
    () => database.query("select * from ingest.refusals order by refused_at"),
    (rows) => rows.length >= count,
  );
}

function refusal(agentId: string): Refusal {
  const caller = { agentId, publicKey: undefined, source: "192.0.2.1" };
  const base = { method: "Heartbeat", reason: "agent_not_allowed", message: "revoked", remoteAddress: "192.0.2.1" };
  return { ...base, caller, certificateSerial: undefined, hostname: undefined };
}

function startRecorder(t: Test, url: string): { recorder: RefusalRecorder; warnings: unknown[] } {
  const store = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => store.close());
  const warnings: unknown[] = [];
  const logger = { warn: (fields: unknown) => warnings.push(fields) } as unknown as Logger;
  return { recorder: new RefusalRecorder({ db: store.db, logger }), warnings };
}
