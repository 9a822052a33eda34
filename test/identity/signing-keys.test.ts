import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { calculateJwkThumbprint, decodeProtectedHeader, exportJWK, type JSONWebKeySet, SignJWT } from "jose";
import t from "tap";
import { KeyEvents } from "../../dist/identity/key-events.js";
import { openSigningKeyRing, type SigningKeyRingTiming } from "../../dist/identity/signing-keys/signing-key-ring.js";
import { openDatabase } from "../../dist/store/database.js";
import { enrol, openLiveStream, register, registration, type TestIdentity } from "../support/agents/field-agent.js";
import { createTestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { makeDirectory, startTestService, type TestService } from "../support/service.js";

const QUICK: Partial<SigningKeyRingTiming> = { fileWatchMs: 10, readMs: 20, readPaceMs: 20 };

function createKey(): { pem: string; key: KeyObject } {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { pem: privateKey.export({ format: "pem", type: "pkcs1" }).toString(), key: privateKey };
}

async function thumbprint(pem: string): Promise<string> {
  return calculateJwkThumbprint(await exportJWK(createPublicKey(createPrivateKey(pem))));
}

async function publishedBy(service: TestService): Promise<string[]> {
  const answer = await fetch(`http://localhost:${service.httpPort}/.well-known/jwks.json`);
  return ((await answer.json()) as JSONWebKeySet).keys.map(({ kid }) => kid ?? "");
}

/** The JWT an agent gets when it registers again. */
async function registerAgain(service: TestService, { key }: TestIdentity): Promise<string> {
  return (await register(service, await registration(key, ""))).jwtToken;
}

async function opens(service: TestService, identity: TestIdentity): Promise<void> {
  const stream = await openLiveStream(service, identity);
  stream.end();
  await stream.ended;
}

t.test("instances with different key files verify each other's tokens", async (t) => {
  const one = await startTestService(t, { timing: { signingKeys: { readMs: 60 * 60 * 1000 } } });
  const agent = await enrol(one, await one.createToken());
  const two = await startTestService(t, { of: one, env: { INGEST_JWT_KEY_FILE: join(one.directory, "two.pem") } });
  t.equal((await publishedBy(one)).length, 1, "one has not read the keys again since two started");
  const fromTwo = { ...agent, jwt: await registerAgain(two, agent) };
  t.not(decodeProtectedHeader(fromTwo.jwt).kid, decodeProtectedHeader(agent.jwt).kid);
  await opens(two, agent);
  await opens(one, fromTwo);
  t.same(await publishedBy(one), await publishedBy(two), "a token with an unknown kid made it look");
});

t.test("unknown kids cost one reading a pace, and known ones do not wait for it", async (t) => {
  const { url } = await createTestDatabase(t);
  const database = openDatabase({ url, maxConnections: 2 });
  t.teardown(() => database.close());
  const keys = await openSigningKeyRing({
    db: database.db,
    path: join(await makeDirectory(t), "key.pem"),
    events: new KeyEvents(createTestLog().logger),
    timing: { readPaceMs: 200 },
  });
  t.teardown(() => keys.close());
  const startedAt = performance.now();
  for (let i = 0; i < 5; i++) {
    const hostile = Array.from({ length: 100 }, (_, j) => keys.verificationKeys(`hostile-${i}-${j}`));
    t.equal((await keys.verificationKeys(keys.current.kid)).length, 1);
    t.same((await Promise.all(hostile)).flat(), []);
  }
  t.ok(performance.now() - startedAt >= 4 * 200 - 5);
});

t.test("a lost key file invalidates nothing", async (t) => {
  const first = await startTestService(t);
  const agent = await enrol(first, await first.createToken());
  await first.close();
  await rm(first.env.INGEST_JWT_KEY_FILE ?? "");
  const second = await startTestService(t, { of: first });
  await opens(second, agent);
  const published = await publishedBy(second);
  t.equal(published.length, 2);
  t.equal(decodeProtectedHeader(await registerAgain(second, agent)).kid, published[1], "a new one signs");
  await second.close();

  await first.database.query("update ingest.signing_keys set published_until = now() where kid = $1", [published[0]]);
  const third = await startTestService(t, { of: first });
  t.same(await publishedBy(third), published.slice(1));
  t.same(
    await first.database.query("select kid from ingest.signing_keys"),
    [{ kid: published[1] }],
    "the row of a key whose last token has expired is removed",
  );
});

t.test("a key that signs is published again when its row is gone, as after a backup was put back", async (t) => {
  const service = await startTestService(t, { timing: { signingKeys: QUICK } });
  const agent = await enrol(service, await service.createToken());
  const before = await publishedBy(service);
  await service.database.query("delete from ingest.signing_keys");
  await eventually(
    () => service.database.query("select kid from ingest.signing_keys"),
    (rows) => rows.length === 1,
  );
  await opens(service, agent);
  t.same(await publishedBy(service), before);
});

t.test("a changed key file is published at once and signs when every verifier has seen it", async (t) => {
  const { logger, lines } = createTestLog();
  const timing = { signingKeys: { ...QUICK, announceMs: 60 * 60 * 1000 } };
  const service = await startTestService(t, { timing, logger });
  const path = service.env.INGEST_JWT_KEY_FILE ?? "";
  const agent = await enrol(service, await service.createToken());
  const { pem } = createKey();
  const kid = await thumbprint(pem);
  await writeFile(path, "half a key");
  const refusals = () => lines.filter(({ msg }) => msg.includes("cannot be used"));
  await eventually(
    async () => refusals().length,
    (count) => count === 1,
  );
  t.match(refusals()[0], { level: "error", reason: /jwt_key\.pem is not a private key in PEM/ });
  await writeFile(path, pem);
  await eventually(
    () => publishedBy(service),
    (kids) => kids.includes(kid),
  );
  t.not(decodeProtectedHeader(await registerAgain(service, agent)).kid, kid, "not before it was announced");
  await service.database.query("update ingest.signing_keys set created_at = now() - interval '1 hour'");
  const jwt = await eventually(
    () => registerAgain(service, agent),
    (token) => decodeProtectedHeader(token).kid === kid,
  );
  await opens(service, agent);
  await opens(service, { ...agent, jwt });
  await rm(path);
  await eventually(
    async () => refusals().length,
    (count) => count === 2,
  );
  t.match(refusals()[1], { reason: /ENOENT/ });
  await opens(service, { ...agent, jwt: await registerAgain(service, agent) });
});

t.test("the earlier service's key is used where there is no file, and written to it", async (t) => {
  const on = await createTestDatabase(t);
  const { pem, key } = createKey();
  await on.query("insert into system_config (key, value) values ('jwt_private_key', $1)", [pem]);
  const service = await startTestService(t, { on });
  const path = service.env.INGEST_JWT_KEY_FILE ?? "";
  t.equal(await readFile(path, "utf8"), pem);
  t.equal((await stat(path)).mode & 0o777, 0o600);
  t.same(await publishedBy(service), [await thumbprint(pem)]);
  const agent = await enrol(service, await service.createToken());
  const [row] = await on.query("select organisation_id from agents");
  const issuedEarlier = await new SignJWT({ org: row?.organisation_id })
    .setProtectedHeader({ alg: "RS256" })
    .setSubject(agent.agentId)
    .setIssuer("ct-ops-ingest")
    .setIssuedAt()
    .setExpirationTime("24h")
    .sign(key);
  await opens(service, { ...agent, jwt: issuedEarlier });
});

t.test("where file and database differ the file's key signs, and tokens of both are good", async (t) => {
  const on = await createTestDatabase(t);
  const [earlier, own] = [createKey(), createKey()];
  await on.query("insert into system_config (key, value) values ('jwt_private_key', $1)", [earlier.pem]);
  const path = join(await makeDirectory(t), "own.pem");
  await writeFile(path, own.pem, { mode: 0o600 });
  const service = await startTestService(t, { on, env: { INGEST_JWT_KEY_FILE: path } });
  const agent = await enrol(service, await service.createToken());
  t.equal(decodeProtectedHeader(agent.jwt).kid, await thumbprint(own.pem));
  t.same((await publishedBy(service)).sort(), [await thumbprint(own.pem), await thumbprint(earlier.pem)].sort());
  const [row] = await on.query("select organisation_id from agents");
  for (const { key } of [earlier, own]) {
    const withoutKid = await new SignJWT({ org: row?.organisation_id })
      .setProtectedHeader({ alg: "RS256" })
      .setSubject(agent.agentId)
      .setIssuer("ct-ops-ingest")
      .setIssuedAt()
      .setExpirationTime("24h")
      .sign(key);
    await opens(service, { ...agent, jwt: withoutKid });
  }
  t.same(await on.query("select value from system_config"), [{ value: earlier.pem }], "which is never written");
});

t.test("a damaged key of the earlier service is one line in the log, and the service runs", async (t) => {
  const on = await createTestDatabase(t);
  await on.query("insert into system_config (key, value) values ('jwt_private_key', 'damaged')");
  const { logger, lines } = createTestLog();
  const path = join(await makeDirectory(t), "own.pem");
  await writeFile(path, createKey().pem, { mode: 0o600 });
  const service = await startTestService(t, { on, logger, env: { INGEST_JWT_KEY_FILE: path } });
  await enrol(service, await service.createToken());
  t.match(
    lines.filter(({ msg }) => msg.includes("earlier service")),
    [{ level: "error", reason: "system_config.jwt_private_key is not a private key in PEM" }],
  );
});
