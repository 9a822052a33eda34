/** Each of these tests has services of its own, since it leaves CAs behind. */
import { X509Certificate } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { describeAgentCas } from "../../dist/identity/agent-ca/agent-ca-overview.js";
import { retireAgentCa, rotateAgentCa } from "../../dist/identity/agent-ca/agent-ca-rotation.js";
import { sealKey } from "../../dist/identity/agent-ca/sealed-key.js";
import { enrol, heartbeat, openLiveStream, openStream } from "../support/agents/field-agent.js";
import { fingerprint, opens, registerAgain, signs, upload, writeCa } from "../support/certificates/agent-ca-in-use.js";
import { createCa, type TestCa, UNFIT_CA_EXTENSIONS } from "../support/certificates/agent-cas.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { ENCRYPTION_SECRET, makeDirectory, startTestService } from "../support/service.js";

const HOUR_MS = 60 * 60 * 1000;
const noForce = { force: false };

t.test("a new CA signs on every instance at once, and certificates of the old one stay good", async (t) => {
  const timing = { agentCa: { readMs: HOUR_MS } };
  const one = await startTestService(t, { timing });
  const two = await startTestService(t, { of: one, timing });
  const agent = await enrol(one, await one.createToken());
  const old = await signs(one, agent);
  const { fingerprintSha256: next } = await rotateAgentCa(one.store, { secret: ENCRYPTION_SECRET, force: false });
  for (const service of [one, two]) {
    await eventually(
      () => signs(service, agent),
      (ca) => ca === next,
    );
    await opens(service, agent);
  }
  t.not(next, old);
  const cas = await describeAgentCas(one.store.db);
  t.match(cas, [
    { fingerprintSha256: next, state: "signs", source: "auto" },
    { fingerprintSha256: old, state: "trusted", source: "auto" },
  ]);
  const restarted = await startTestService(t, { of: one });
  await opens(restarted, agent);
  t.equal(await signs(restarted, agent), next);
});

t.test("an instance that was told nothing of a new CA takes its certificates all the same", async (t) => {
  const unaware = await startTestService(t, { timing: { agentCa: { readMs: HOUR_MS } } });
  const agent = await enrol(unaware, await unaware.createToken());
  const old = await signs(unaware, agent);
  await unaware.database.query("drop trigger ingest_agent_cas_changed on certificate_authorities");
  await rotateAgentCa(unaware.store, { secret: ENCRYPTION_SECRET, force: false });
  t.equal(await signs(unaware, agent), old);
  const aware = await startTestService(t, { of: unaware });
  await opens(unaware, await registerAgain(aware, agent));
});

t.test("a secret that does not open the current key makes no new CA, unless forced", async (t) => {
  const service = await startTestService(t);
  await t.rejects(rotateAgentCa(service.store, { secret: "another", force: false }), {
    code: "operation_refused",
    message: /cannot be decrypted.*--force/s,
  });
  t.equal((await describeAgentCas(service.store.db)).length, 1);
  await rotateAgentCa(service.store, { secret: "another", force: true });
  t.equal((await describeAgentCas(service.store.db)).length, 2);
});

t.test("a CA that cannot sign is replaced by a rotation, without force", async (t) => {
  const service = await startTestService(t, { timing: { agentCa: { readMs: 50 } } });
  const unfit = await createCa({ extensions: UNFIT_CA_EXTENSIONS });
  await upload(service, { ...unfit, sealedKey: await sealKey(unfit.keyPem, ENCRYPTION_SECRET) });
  await service.close();
  const { fingerprintSha256 } = await rotateAgentCa(service.store, { secret: ENCRYPTION_SECRET, force: false });
  const restarted = await startTestService(t, { on: service.database });
  t.equal(await signs(restarted, await enrol(restarted, await restarted.createToken())), fingerprintSha256);
});

t.test("own CA files that are replaced sign without a restart", async (t) => {
  const directory = await makeDirectory(t);
  const [certFile, keyFile] = [join(directory, "ca.crt"), join(directory, "ca.key")];
  const write = (ca: TestCa) => writeCa({ certFile, keyFile }, ca);
  const [first, second, third] = [await createCa(), await createCa(), await createCa()];
  await write(first);
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, {
    logger,
    env: { INGEST_AGENT_CA_CERT: certFile, INGEST_AGENT_CA_KEY: keyFile },
    timing: { agentCa: { fileWatchMs: 10, readMs: 50 } },
  });
  const agent = await enrol(service, await service.createToken());
  t.equal(await signs(service, agent), fingerprint(first.certificatePem));

  await writeFile(certFile, third.certificatePem);
  await eventually(
    async () => lines.filter(({ msg }) => msg.includes("an agent CA cannot be used")),
    (refused) => refused.length === 1,
  );
  await write(second);
  await eventually(
    () => signs(service, agent),
    (ca) => ca === fingerprint(second.certificatePem),
  );
  await opens(service, agent);
  t.match(await describeAgentCas(service.store.db), [
    { fingerprintSha256: fingerprint(second.certificatePem), state: "signs", source: "byo" },
    { fingerprintSha256: fingerprint(first.certificatePem), state: "trusted", source: "byo" },
  ]);
  await rotateAgentCa(service.store, { secret: ENCRYPTION_SECRET, force: false });
  await eventually(
    async () => lines.filter(({ msg }) => msg.includes("another agent CA was made active")),
    (warned) => warned.length === 1,
  );
  t.equal(await signs(service, agent), fingerprint(second.certificatePem), "the files decide");
});

t.test("a CA is retired only when nobody depends on it, or by force; its agents come back by themselves", async (t) => {
  const service = await startTestService(t, { timing: { certificateMover: { paceMs: 10, scanMs: 10 } } });
  const token = await service.createToken();
  const [a, b] = [
    await enrol(service, token, { agentInfo: { hostname: "a" } }),
    await enrol(service, token, { agentInfo: { hostname: "b" } }),
  ];
  const [ca] = await describeAgentCas(service.store.db);
  const id = ca?.id ?? "";
  t.equal(ca?.agents, 2);
  await t.rejects(retireAgentCa(service.store, id, noForce), { code: "operation_refused", message: /signs/ });
  const stream = await openLiveStream(service, a);
  const { fingerprintSha256: next } = await rotateAgentCa(service.store, { secret: ENCRYPTION_SECRET, force: false });
  await eventually(
    () => signs(service, b),
    (signing) => signing === next,
  );
  stream.send(heartbeat(a.agentId));
  t.match(await stream.next(), { ok: true }, "nobody is hurried while the old CA is good for years");
  t.match(
    (await describeAgentCas(service.store.db)).map(({ state, agents }) => ({ state, agents })),
    [
      { state: "signs", agents: 1 },
      { state: "trusted", agents: 1 },
    ],
  );
  await t.rejects(retireAgentCa(service.store, id, noForce), {
    code: "operation_refused",
    message: /1 agents depend on it, until 20/,
  });
  await retireAgentCa(service.store, id, { force: true });
  t.match(await stream.ended, { code: Code.UNAUTHENTICATED, details: /register again/ });
  const refused = openStream(service, a);
  refused.send(heartbeat(a.jwt));
  t.match(await refused.ended, { code: Code.UNAUTHENTICATED, details: /not issued by a trusted agent CA/ });
  await opens(service, await registerAgain(service, a));
  await t.rejects(retireAgentCa(service.store, id, noForce), { message: /retired already/ });
  await t.rejects(retireAgentCa(service.store, "nobody", noForce), { message: /there is no agent CA/ });
  t.match(
    (await describeAgentCas(service.store.db)).map(({ state, agents }) => ({ state, agents })),
    [
      { state: "signs", agents: 2 },
      { state: "retired", agents: 0 },
    ],
  );
});

t.test("a retired CA stays so on the way back to the earlier service, there, and when this one returns", async (t) => {
  const directory = await makeDirectory(t);
  const files = { certFile: join(directory, "ca.crt"), keyFile: join(directory, "ca.key") };
  const own = await createCa();
  await writeCa(files, own);
  const env = { INGEST_AGENT_CA_CERT: files.certFile, INGEST_AGENT_CA_KEY: files.keyFile };
  const service = await startTestService(t, { env });
  const { query } = service.database;
  const agent = await enrol(service, await service.createToken());
  const [ca] = await describeAgentCas(service.store.db);
  await rotateAgentCa(service.store, { secret: ENCRYPTION_SECRET, force: false });
  await retireAgentCa(service.store, ca?.id ?? "", { force: true });
  await service.close();

  const guide = await readFile(new URL("../../docs/upgrade.md", import.meta.url), "utf8");
  const [, removal = ""] = /```sql\n( *drop schema ingest[^`]*)```/.exec(guide) ?? [];
  await query(removal);
  // What the earlier service, and version 0.1 of this one, look at.
  t.same(await query("select id from certificate_authorities where id = $1 and not_after > now()", [ca?.id]), []);

  await t.rejects(startTestService(t, { on: service.database, env }), { message: /was retired by an operator/ });
  const returned = await startTestService(t, { on: service.database });
  t.match(
    (await describeAgentCas(returned.store.db)).map(({ state }) => state),
    ["signs", "retired"],
  );
  const refused = openStream(returned, agent);
  refused.send(heartbeat(agent.jwt));
  t.match(await refused.ended, { code: Code.UNAUTHENTICATED, details: /not issued by a trusted agent CA/ });

  // As version 0.1 left it: retired in a table of the schema alone.
  await query(
    `update certificate_authorities set metadata = null, not_after = now() + interval '1 day' where id = $1`,
    [ca?.id],
  );
  await query("insert into ingest.retired_agent_cas (fingerprint_sha256) values ($1)", [ca?.fingerprintSha256]);
  await query(await readMigration("retired-agent-cas"));
  t.match(
    (await describeAgentCas(returned.store.db)).map(({ state }) => state),
    ["signs", "retired"],
  );
});

/** The statements of one of the service's own migrations. */
async function readMigration(name: string): Promise<string> {
  const directory = new URL("../../drizzle/ingest/", import.meta.url);
  const file = (await readdir(directory)).find((found) => found.endsWith(`_${name}.sql`)) ?? name;
  return readFile(new URL(file, directory), "utf8");
}

t.test("when the CA that signs expires another one is made, and agents come back by themselves", async (t) => {
  const service = await startTestService(t, { timing: { agentCa: { readMs: 50 } } });
  const agent = await enrol(service, await service.createToken());
  // A new CA and not the first one: that was replaced for a reason.
  const first = await signs(service, agent);
  const short = await createCa({ notAfter: new Date(Date.now() + 3_000) });
  const next = await upload(service, { ...short, sealedKey: await sealKey(short.keyPem, ENCRYPTION_SECRET) });
  await service.database.query("update certificate_authorities set not_after = $1 where deleted_at is null", [
    new Date(new X509Certificate(short.certificatePem).validTo),
  ]);
  await eventually(
    () => signs(service, agent),
    (ca) => ca === next,
  );
  const made = await eventually(
    // Refused, if it asks in the moment between.
    () => signs(service, agent).catch(() => next),
    (ca) => ca !== next,
  );
  t.not(made, first);
  t.match(await describeAgentCas(service.store.db), [
    { fingerprintSha256: made, state: "signs", source: "auto" },
    { fingerprintSha256: next, state: "expired" },
    { fingerprintSha256: first, state: "trusted" },
  ]);
  await opens(service, await registerAgain(service, agent));
});
