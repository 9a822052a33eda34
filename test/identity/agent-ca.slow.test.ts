import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { sealKey } from "../../dist/identity/agent-ca/sealed-key.js";
import { enrol, register, registration } from "../support/agents/field-agent.js";
import { fingerprint, opens, registerAgain, signs, upload, writeCa } from "../support/certificates/agent-ca-in-use.js";
import { createCa, type TestCa, UNFIT_CA_EXTENSIONS } from "../support/certificates/agent-cas.js";
import { GO_CA } from "../support/certificates/foreign-cas.js";
import { createTestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { ENCRYPTION_SECRET, makeDirectory, startTestService } from "../support/service.js";

const HOUR_MS = 60 * 60 * 1000;

t.test("agents hold streams under a CA that the earlier service made with Go 1.25 or later", async (t) => {
  const database = await createTestDatabase(t);
  const sealedKey = await sealKey(GO_CA.keyPem, ENCRYPTION_SECRET);
  const stored = await upload({ database }, { ...GO_CA, sealedKey });
  const service = await startTestService(t, { on: database });
  const agent = await enrol(service, await service.createToken());
  await opens(service, agent);
  t.equal(await signs(service, agent), stored);
});

t.test(
  "a CA that the web app uploads signs; one that cannot be used is one line, and the old one goes on",
  async (t) => {
    const { logger, lines } = createTestLog();
    const service = await startTestService(t, { logger, timing: { agentCa: { readMs: 50 } } });
    const agent = await enrol(service, await service.createToken());
    const refused = () => lines.filter(({ msg }) => msg.includes("an agent CA cannot be used"));
    const [uploaded, broken, other] = [await createCa(), await createCa(), await createCa()];
    const sealed = (keyPem: string, secret = ENCRYPTION_SECRET) => sealKey(keyPem, secret);

    const next = await upload(service, { ...uploaded, sealedKey: await sealed(uploaded.keyPem) });
    await eventually(
      () => signs(service, agent),
      (ca) => ca === next,
    );
    await opens(service, agent);

    await upload(service, { ...broken, sealedKey: await sealed(broken.keyPem, "another secret") });
    await eventually(
      async () => refused().length,
      (count) => count === 1,
    );
    t.match(refused()[0], { level: "error", reason: /cannot be decrypted/ });
    await upload(service, { ...other, sealedKey: await sealed(broken.keyPem) });
    await eventually(
      async () => refused().length,
      (count) => count === 2,
    );
    t.match(refused()[1], { reason: /has a key that does not belong to its certificate/ });
    t.equal(await signs(service, agent), next);
    await opens(service, await registerAgain(service, agent));
    t.equal(refused().length, 2, "one line each, however often they were read");

    const restarted = await startTestService(t, { of: service });
    t.equal(await signs(restarted, agent), next, "also after a restart");
  },
);

t.test("a CA that cannot sign is tried again, without a word, since its day may come", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { logger, timing: { agentCa: { readMs: 50, retryMs: 20 } } });
  const agent = await enrol(service, await service.createToken());
  const first = await signs(service, agent);
  const refused = () => lines.filter(({ msg }) => msg.includes("an agent CA cannot be used"));
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [early, late] = [await createCa({ key, notBefore: new Date(Date.now() + HOUR_MS) }), await createCa({ key })];
  const sealedKey = await sealKey(early.keyPem, ENCRYPTION_SECRET);
  await upload(service, { ...early, sealedKey });
  await eventually(
    async () => refused(),
    ({ length }) => length === 1,
  );
  t.equal(await signs(service, agent), first);
  // The day comes: the same row can be used, and nothing tells of it.
  await service.database.query("update certificate_authorities set cert_pem = $1 where cert_pem = $2", [
    late.certificatePem,
    early.certificatePem,
  ]);
  await eventually(
    () => signs(service, agent),
    (ca) => ca === fingerprint(late.certificatePem),
  );
  await opens(service, agent);
  t.match(
    refused().map(({ reason }) => reason),
    [/is not valid before/],
  );
});

t.test("a service does not start with own CA files that cannot sign", async (t) => {
  const directory = await makeDirectory(t);
  const files = { certFile: join(directory, "ca.crt"), keyFile: join(directory, "ca.key") };
  await writeCa(files, await createCa({ extensions: UNFIT_CA_EXTENSIONS }));
  const env = { INGEST_AGENT_CA_CERT: files.certFile, INGEST_AGENT_CA_KEY: files.keyFile };
  await t.rejects(startTestService(t, { env }), {
    code: "unusable_configuration",
    message: new RegExp(`the agent CA in ${files.certFile} cannot sign, since what it signs would be refused here`),
  });
});

t.test("a client certificate does not outlive its CA", async (t) => {
  const service = await startTestService(t, { timing: { agentCa: { readMs: 50 } } });
  const agent = await enrol(service, await service.createToken());
  const short = await createCa({ notAfter: new Date(Date.now() + HOUR_MS) });
  const next = await upload(service, { ...short, sealedKey: await sealKey(short.keyPem, ENCRYPTION_SECRET) });
  await eventually(
    () => signs(service, agent),
    (ca) => ca === next,
  );
  const { certificatePem } = await registerAgain(service, agent);
  t.equal(new X509Certificate(certificatePem).validTo, new X509Certificate(short.certificatePem).validTo);
});

t.test("an own CA that expired signs nothing: an agent would come back with it at once, for ever", async (t) => {
  const directory = await makeDirectory(t);
  const [certFile, keyFile] = [join(directory, "ca.crt"), join(directory, "ca.key")];
  const write = (ca: TestCa) => writeCa({ certFile, keyFile }, ca);
  await write(await createCa({ notAfter: new Date(Date.now() + HOUR_MS) }));
  const service = await startTestService(t, {
    env: { INGEST_AGENT_CA_CERT: certFile, INGEST_AGENT_CA_KEY: keyFile },
    timing: { agentCa: { fileWatchMs: 20 } },
  });
  const { key } = await enrol(service, await service.createToken());
  const request = await registration(key, "");
  // Only now, so that however slow the start was it is read before it expires.
  await write(await createCa({ notAfter: new Date(Date.now() + 4_000) }));
  const refusal = await eventually(
    () =>
      register(service, request).then(
        () => undefined,
        (error) => error,
      ),
    (error) => error !== undefined,
  );
  t.match(refusal, { code: Code.INTERNAL, details: /the agent CA expired on/ });
});
