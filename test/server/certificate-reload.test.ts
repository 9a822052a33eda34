import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import t from "tap";
import { startApp } from "../../dist/app/app.js";
import { parseConfig } from "../../dist/config/config.js";
import { createDevServerCertificate } from "../../dist/identity/server-certificate/server-certificate.js";
import { readServerCertificate } from "../../dist/identity/server-certificate/server-certificate-files.js";
import { EXTENDED_KEY_USAGE, encodeExtendedKeyUsage } from "../../dist/identity/x509/certificate-extensions.js";
import { encodeName } from "../../dist/identity/x509/write-certificate.js";
import { encodeSequence } from "../../dist/lib/formats/der.js";
import { createLogger } from "../../dist/observe/logger.js";
import { enrol, heartbeat, openLiveStream } from "../support/agents/field-agent.js";
import { type CaVariant, createCa, type TestCa } from "../support/certificates/agent-cas.js";
import { runCommand } from "../support/commands/cli.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { makeDirectory, startTestService, type TestService } from "../support/service.js";

const PEM_OF_NOTHING = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/** The certificate that a new connection is shown. */
async function shownBy({ grpcPort }: TestService): Promise<string> {
  const socket = connect({ host: "localhost", port: grpcPort, ALPNProtocols: ["h2"], rejectUnauthorized: false });
  await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  const fingerprint = socket.getPeerX509Certificate()?.fingerprint256 ?? "";
  socket.destroy();
  return fingerprint;
}

/** Connects twice, the second time with the session of the first; whether the server took it. */
async function resumes({ grpcPort }: TestService, maxVersion: "TLSv1.2" | "TLSv1.3"): Promise<boolean> {
  let session: Buffer | undefined;
  for (const isLast of [false, true]) {
    const options = { ALPNProtocols: ["h2"], rejectUnauthorized: false, maxVersion, ...(session && { session }) };
    const socket = connect({ host: "localhost", port: grpcPort, ...options });
    socket.on("session", (offered: Buffer) => {
      session = offered;
    });
    // A ticket of TLS 1.3 comes with the first bytes after the handshake: the server's HTTP/2 settings.
    await new Promise<void>((resolve, reject) => socket.once("data", () => resolve()).once("error", reject));
    session ??= socket.getSession();
    const isReused = socket.isSessionReused();
    socket.destroy();
    if (isLast) return isReused;
  }
  return false;
}

t.test("a replaced server certificate is shown to new connections, and no stream ends", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { logger, timing: { serverCertificateMs: 10 } });
  const paths = [service.env.INGEST_TLS_CERT, service.env.INGEST_TLS_KEY] as [string, string];
  const [oldCert] = await Promise.all(paths.map((path) => readFile(path, "utf8")));
  const old = new X509Certificate(oldCert ?? "").fingerprint256;
  const agent = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, agent);
  const refused = () => lines.filter(({ msg }) => msg.includes("cannot be used"));

  const next = await createDevServerCertificate(["localhost"]);
  await writeFile(paths[0], next.cert);
  await eventually(
    async () => refused().length,
    (count) => count === 1,
  );
  t.match(refused()[0], { level: "error", reason: /the key does not belong to the certificate/ });
  t.equal(await shownBy(service), old, "half a pair is not taken");
  await writeFile(paths[1], next.key.slice(0, 100));
  await eventually(
    async () => refused().length,
    (count) => count === 2,
  );
  t.match(refused()[1], { reason: /INGEST_TLS_KEY is not a private key in PEM/ });
  t.equal(await shownBy(service), old);

  await writeFile(paths[1], next.key);
  const shown = await eventually(
    () => shownBy(service),
    (fingerprint) => fingerprint !== old,
  );
  t.equal(shown, new X509Certificate(next.cert).fingerprint256);
  t.equal(refused().length, 2, "one line for each change, however often it was looked at");
  t.match(
    lines.filter(({ msg }) => msg === "the server certificate was replaced"),
    [{ level: "info", subject: /CN=/ }],
  );
  stream.send(heartbeat(agent.agentId));
  t.match(await stream.next(), { ok: true }, "the open stream goes on");
  stream.end();
  await stream.ended;

  // The rules of the listener hold for the new certificate as well.
  t.notOk(await resumes(service, "TLSv1.2"), "a session without a client certificate cannot be resumed");
  t.notOk(await resumes(service, "TLSv1.3"));
  const again = await openLiveStream({ ...service, ca: next.cert }, agent);
  again.end();
  await again.ended;
});

t.test("a pair that no agent can use is not taken, nor started with", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { logger, timing: { serverCertificateMs: 10 } });
  const [certFile, keyFile] = [service.env.INGEST_TLS_CERT, service.env.INGEST_TLS_KEY] as [string, string];
  const shown = await shownBy(service);
  const ca = await createCa();
  const namesake = await createCa();
  const signedBy = (variant: CaVariant) => createCa({ name: encodeName({ commonName: "x" }), issuer: ca, ...variant });
  const leaf = await signedBy({});
  const encrypt = (type: "pkcs8" | "pkcs1") => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    return privateKey.export({ format: "pem", type, cipher: "aes-256-cbc", passphrase: "x" }).toString();
  };
  const k256 = await signedBy({ key: generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey });
  const ed448 = await signedBy({ key: generateKeyPairSync("ed448").privateKey });
  const pss = await signedBy({ key: generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).privateKey });
  const forClients = await signedBy({
    extensions: [encodeExtendedKeyUsage(EXTENDED_KEY_USAGE.clientAuthentication)],
  });
  const damaged = { ...leaf, certificatePem: leaf.certificatePem + namesake.certificatePem };
  const cases: [TestCa, RegExp][] = [
    [k256, /its key is EC secp256k1; they take RSA/],
    [ed448, /its key is ed448/],
    [pss, /its key is rsa-pss/],
    [forClients, /do not include server authentication/],
    [damaged, /no client could connect with the server certificate: CERT_SIGNATURE_FAILURE/],
    [
      { ...leaf, certificatePem: `${leaf.certificatePem}${PEM_OF_NOTHING}` },
      /no client could connect with the server certificate/,
    ],
    [{ ...leaf, keyPem: encrypt("pkcs8") }, /INGEST_TLS_KEY is encrypted: write it without a passphrase/],
    [{ ...leaf, keyPem: encrypt("pkcs1") }, /INGEST_TLS_KEY is encrypted: write it without a passphrase/],
  ];
  for (const [pair, reason] of cases) {
    lines.length = 0;
    await Promise.all([writeFile(certFile, pair.certificatePem), writeFile(keyFile, pair.keyPem)]);
    const refused = () => lines.filter(({ msg }) => msg.includes("cannot be used"));
    await eventually(
      async () => refused(),
      (found) => found.some((line) => reason.test(String(line.reason))),
    );
    t.equal(await shownBy(service), shown);
    const parsed = parseConfig({ ...service.env, INGEST_GRPC_PORT: "0", INGEST_HTTP_PORT: "0" });
    if ("problems" in parsed) throw new Error(parsed.problems.join("\n"));
    await t.rejects(startApp(parsed.config, createLogger("silent")), { message: reason });
    const { output } = await runCommand(service.env, ["doctor", "--json"]);
    const findings: { check: string; verdict: string; message: string }[] = JSON.parse(output);
    t.match(
      findings.find(({ check }) => check === "server certificate"),
      { verdict: "error", message: reason },
      "doctor sees it as well",
    );
  }
  await Promise.all([writeFile(certFile, leaf.certificatePem + ca.certificatePem), writeFile(keyFile, leaf.keyPem)]);
  await eventually(
    () => shownBy(service),
    (fingerprint) => fingerprint === new X509Certificate(leaf.certificatePem).fingerprint256,
  );
});

t.test("a certificate without a name can be used, as public CAs issue them", async (t) => {
  const directory = await makeDirectory(t);
  const files = { certFile: join(directory, "server.crt"), keyFile: join(directory, "server.key") };
  const { certificatePem, keyPem } = await createCa({ name: encodeSequence() });
  await writeFile(files.certFile, certificatePem);
  await writeFile(files.keyFile, keyPem);
  t.match(await readServerCertificate(files), { cert: certificatePem, subject: "" });
});
