import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect as connectHttp2, constants } from "node:http2";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { status as Code } from "@grpc/grpc-js";
import { SignJWT } from "jose";
import t from "tap";
import { agentCaKey, createForeignCaKey, forgeCertificate } from "../support/certificates.js";
import {
  createTestKey,
  enrol,
  heartbeat,
  openLiveStream,
  openStream,
  type TestIdentity,
} from "../support/field-agent.js";
import { startTestService, type TestService } from "../support/service.js";

async function refusalOf(
  service: TestService,
  jwt: string,
  certificate?: { certificatePem: string; privateKeyPem: string },
): Promise<{ code: number; details: string }> {
  const stream = openStream(service, certificate);
  stream.send(heartbeat(jwt));
  const { code, details } = await stream.ended;
  return { code, details };
}

t.test("a client certificate that does not stand up is refused with what is wrong", async (t) => {
  const service = await startTestService(t);
  const a = await enrol(service, await service.createToken(), { agentInfo: { hostname: "a" } });
  const [row] = await service.database.query("select organisation_id from agents");
  const org = row?.organisation_id as string;
  const uri = `spiffe://ct-ops/org/${org}/agent/${a.agentId}`;
  const caKey = await agentCaKey(service);
  const good = { key: a.key, uris: [uri] };
  const day = 24 * 60 * 60 * 1000;
  const other = createTestKey();
  const cases: [string, Parameters<typeof forgeCertificate>[1], number, RegExp, typeof caKey?][] = [
    ["CA of the same name", good, Code.UNAUTHENTICATED, /not issued by a trusted agent CA/, createForeignCaKey()],
    ["expired", { ...good, notAfter: new Date(Date.now() - 61_000) }, Code.UNAUTHENTICATED, /expired on/],
    ["not yet valid", { ...good, notBefore: new Date(Date.now() + day / 2) }, Code.UNAUTHENTICATED, /not valid before/],
    [
      "without client authentication",
      { ...good, extendedKeyUsage: ["1.3.6.1.5.5.7.3.1"] },
      Code.UNAUTHENTICATED,
      /leaf/,
    ],
    ["a CA", { ...good, isCa: true }, Code.UNAUTHENTICATED, /leaf/],
    ["two SPIFFE ids", { ...good, uris: [uri, `${uri}x`] }, Code.UNAUTHENTICATED, /exactly one SPIFFE id/],
    ["no SPIFFE id", { ...good, uris: ["https://example.com/"] }, Code.UNAUTHENTICATED, /SPIFFE id/],
    ["another trust domain", { ...good, uris: [uri.replace("ct-ops", "other")] }, Code.UNAUTHENTICATED, /SPIFFE id/],
    ["encoded slash", { ...good, uris: [`${uri}%2Fx`] }, Code.UNAUTHENTICATED, /SPIFFE id/],
    [
      "another organisation",
      { ...good, uris: [uri.replace(org, "other")] },
      Code.UNAUTHENTICATED,
      /another organisation/,
    ],
    ["another key", { ...good, key: other }, Code.UNAUTHENTICATED, /another key than the one on record/],
    ["no such agent", { ...good, uris: [`spiffe://ct-ops/org/${org}/agent/nobody`] }, Code.NOT_FOUND, /does not exist/],
  ];
  for (const [name, forgery, code, details, signer = caKey] of cases) {
    const certificatePem = await forgeCertificate(signer, forgery);
    const refusal = await refusalOf(service, a.jwt, { certificatePem, privateKeyPem: forgery.key.privateKeyPem });
    t.match(refusal, { code, details }, name);
  }
  t.match(await refusalOf(service, a.jwt), { code: Code.UNAUTHENTICATED, details: /none was presented/ }, "missing");

  const [agent] = await service.database.query("select * from agents");
  await service.database.query("insert into revoked_certificates (id, organisation_id, serial) values ('r', $1, $2)", [
    org,
    agent?.client_cert_serial,
  ]);
  t.match(await refusalOf(service, a.jwt, a), { code: Code.UNAUTHENTICATED, details: /was revoked/ }, "revoked");
  t.same(await service.database.query("select status, last_seen_at from hosts"), [
    { status: "unknown", last_seen_at: null },
  ]);
});

t.test("a JWT that does not stand up is refused with what is wrong", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const a = await enrol(service, token, { agentInfo: { hostname: "a" } });
  const b = await enrol(service, token, { agentInfo: { hostname: "b" } });
  const [row] = await service.database.query("select organisation_id from agents limit 1");
  const org = row?.organisation_id as string;
  const signingKey = createPrivateKey(await readFile(join(service.directory, "jwt_key.pem"), "utf8"));
  const foreignKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const sign = (fields: { exp?: number; iss?: string; kid?: string; key?: typeof signingKey; org?: string } = {}) =>
    new SignJWT({ org: fields.org ?? org })
      .setProtectedHeader({ alg: "RS256", ...(fields.kid !== undefined && { kid: fields.kid }) })
      .setSubject(a.agentId)
      .setIssuer(fields.iss ?? "ct-ops-ingest")
      .setIssuedAt()
      .setExpirationTime(fields.exp ?? Math.floor(Date.now() / 1000) + 60)
      .sign(fields.key ?? signingKey);
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: "ct-ops-ingest", sub: a.agentId, org, iat: 1, exp: Math.floor(Date.now() / 1000) + 60 };
  const none = `${encode({ alg: "none" })}.${encode(claims)}.`;
  const hs256Input = `${encode({ alg: "HS256" })}.${encode(claims)}`;
  const publicPem = createPublicKey(signingKey).export({ format: "pem", type: "spki" });
  const hs256 = `${hs256Input}.${createHmac("sha256", publicPem).update(hs256Input).digest("base64url")}`;

  const cases: [string, string, RegExp][] = [
    ["of another agent", b.jwt, /name different agents/],
    ["expired", await sign({ exp: Math.floor(Date.now() / 1000) - 61 }), /has expired/],
    ["another issuer", await sign({ iss: "somebody" }), /"iss"/],
    ["another key", await sign({ key: foreignKey }), /not signed by a published key/],
    ["a kid nobody published", await sign({ kid: "unknown" }), /not published/],
    ["another organisation", await sign({ org: "other" }), /name different agents/],
    ["alg none", none, /cannot be read|not signed with RS256/],
    ["HS256 with the public key", hs256, /not signed with RS256/],
    ["not a token", "hello", /cannot be read/],
    ["empty", "", /is missing/],
  ];
  for (const [name, jwt, details] of cases) {
    t.match(await refusalOf(service, jwt, a), { code: Code.UNAUTHENTICATED, details }, name);
  }
  t.same(await service.database.query("select from hosts where last_seen_at is not null"), []);
  const withoutKid = openStream(service, a);
  withoutKid.send(heartbeat(await sign()));
  t.match(await withoutKid.next(), { ok: true }, "a token without kid, as the earlier service issued them, is good");
  withoutKid.end();
  await withoutKid.ended;
});

t.test("pending and revoked agents are refused, and a stream ends when its agent is revoked", async (t) => {
  const service = await startTestService(t);
  const a = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, a);
  await service.database.query("update agents set status = 'revoked'");
  stream.send(heartbeat(a.agentId));
  t.match(await stream.ended, { code: Code.PERMISSION_DENIED, details: /is revoked/ });
  t.match(await refusalOf(service, a.jwt, a), { code: Code.PERMISSION_DENIED, details: /is revoked/ });
  await service.database.query("update agents set status = 'pending'");
  t.match(await refusalOf(service, a.jwt, a), { code: Code.PERMISSION_DENIED, details: /is pending/ });
  t.match(await service.database.query("select status from agents"), [{ status: "pending" }], "nothing overwrites it");
});

t.test("a later message cannot name another agent", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const a = await enrol(service, token, { agentInfo: { hostname: "a" } });
  const b = await enrol(service, token, { agentInfo: { hostname: "b" } });
  const stream = await openLiveStream(service, a);
  stream.send(heartbeat(b.agentId, { cpuPercent: 99 }));
  t.match(await stream.ended, { code: Code.UNAUTHENTICATED, details: /names another agent/ });
  t.match(await service.database.query("select cpu_percent from hosts where hostname = 'b'"), [{ cpu_percent: null }]);
});

t.test("a resumed TLS session does not stand for a client certificate", async (t) => {
  const service = await startTestService(t);
  const a = await enrol(service, await service.createToken());
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const options = { ALPNProtocols: ["h2"], minVersion: version, maxVersion: version, ca: service.ca };
    const session = await takeTlsSession(service, a, options);
    const socket = connectTls({ host: "localhost", port: service.grpcPort, ...options, ...(session && { session }) });
    await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    t.notOk(socket.isSessionReused(), `${version}: nothing to resume`);
    const client = connectHttp2(`https://localhost:${service.grpcPort}`, { createConnection: () => socket });
    const request = client.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: "/agent.v1.IngestService/RenewCertificate",
      "content-type": "application/json",
    });
    request.end("{}");
    let body = "";
    for await (const chunk of request) body += chunk;
    t.match(JSON.parse(body), { code: "unauthenticated", message: /none was presented/ }, version);
    client.destroy();
  }
});

/** Connects with the certificate, and takes the session that the server offers to resume, if any. */
async function takeTlsSession(
  service: TestService,
  identity: TestIdentity,
  options: object,
): Promise<Buffer | undefined> {
  const socket: TLSSocket = connectTls({
    host: "localhost",
    port: service.grpcPort,
    cert: identity.certificatePem,
    key: identity.privateKeyPem,
    ...options,
  });
  let session: Buffer | undefined;
  socket.on("session", (offered: Buffer) => {
    session = offered;
  });
  await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  // A ticket of TLS 1.3 comes with the first bytes after the handshake: the server's HTTP/2 settings.
  await new Promise<void>((resolve) => socket.once("data", () => resolve()));
  const taken = session ?? socket.getSession();
  socket.destroy();
  return taken;
}
