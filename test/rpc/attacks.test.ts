import {
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signBytes,
  X509Certificate,
} from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import type { AddressInfo } from "node:net";
import { type ConnectionOptions, connect as connectTls, type SecureVersion, type TLSSocket } from "node:tls";
import { status as Code } from "@grpc/grpc-js";
import { calculateJwkThumbprint, exportJWK } from "jose";
import t from "tap";
import { publishSigningKeys } from "../../dist/store/identity/signing-keys.js";
import {
  assembleCsr,
  createTestCsr,
  createTestKey,
  heartbeat,
  openLiveStream,
  register,
  registration,
  renewCertificate,
} from "../support/agents/field-agent.js";
import { createForeignCaKey, Extension, KeyUsageFlags } from "../support/certificates/certificates.js";
import { forgeSignature, IDENTITY_POINT } from "../support/certificates/ed25519.js";
import {
  type Answer,
  answerToCall,
  answerToStream,
  type CertificateForgery,
  forgeVictimCertificate,
  forgeVictimToken,
  resignVictimToken,
  type Scene,
  setScene,
  type TokenForgery,
  victimRows,
} from "../support/wire/attack-scene.js";

interface Attack {
  name: string;
  attempt: (scene: Scene) => Promise<Answer>;
  code: number;
  details: RegExp;
}

const HOUR_S = 60 * 60;
const nowS = () => Math.floor(Date.now() / 1000);

/** A stream with a certificate that is the victim's but for this, and with the victim's true JWT. */
function certificate(name: string, forge: (scene: Scene) => CertificateForgery, details: RegExp): Attack {
  return {
    name,
    attempt: async (scene) =>
      answerToStream(scene, await forgeVictimCertificate(scene, forge(scene)), scene.victim.jwt),
    code: Code.UNAUTHENTICATED,
    details,
  };
}

const NOT_A_LEAF = /is not a leaf for client authentication/;
const SPIFFE = /does not carry exactly one SPIFFE id/;
const UNTRUSTED = /was not issued by a trusted agent CA/;

const CERTIFICATES: Attack[] = [
  certificate("a CA of the same name", () => ({ signer: createForeignCaKey() }), UNTRUSTED),
  certificate(
    "the attacker's own certificate used as a CA",
    ({ attacker }) => ({
      signer: attacker.key.privateKey,
      issuer: new X509Certificate(attacker.certificatePem).subject.split("\n").join(", "),
      chain: attacker.certificatePem,
    }),
    UNTRUSTED,
  ),
  certificate("an issuer without a name", () => ({ issuer: "" }), UNTRUSTED),
  certificate("a CA certificate used as a leaf", () => ({ isCa: true }), NOT_A_LEAF),
  certificate(
    "a leaf that may sign certificates",
    () => ({ keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign }),
    NOT_A_LEAF,
  ),
  certificate("a key that may not sign", () => ({ keyUsage: KeyUsageFlags.keyEncipherment }), NOT_A_LEAF),
  certificate("for servers only", () => ({ extendedKeyUsage: ["1.3.6.1.5.5.7.3.1"] }), NOT_A_LEAF),
  certificate(
    "for a usage that has 600 bytes",
    () => ({ extendedKeyUsage: [`1.2.${Array(600).fill("1").join(".")}`] }),
    /cannot be read/,
  ),
  certificate("for any usage", () => ({ extendedKeyUsage: ["2.5.29.37.0"] }), NOT_A_LEAF),
  certificate(
    "a critical extension that nobody knows",
    () => ({ otherExtensions: [new Extension("1.2.3.4", true, new Uint8Array([5, 0]))] }),
    /critical extension/,
  ),
  certificate("expired", () => ({ notAfter: new Date(Date.now() - 61_000) }), /expired on/),
  certificate("not yet valid", () => ({ notBefore: new Date(Date.now() + 70_000) }), /is not valid before/),
  certificate("two SPIFFE ids", ({ victimUri }) => ({ uris: [victimUri, `${victimUri}x`] }), SPIFFE),
  certificate("the same SPIFFE id twice", ({ victimUri }) => ({ uris: [victimUri, victimUri] }), SPIFFE),
  certificate("a DNS name beside it", () => ({ otherNames: [{ type: "dns", value: "example.com" }] }), SPIFFE),
  certificate(
    "a DNS name that looks like one",
    ({ victimUri }) => ({ uris: [], otherNames: [{ type: "dns", value: victimUri }] }),
    SPIFFE,
  ),
  certificate("no SPIFFE id", () => ({ uris: ["https://example.com/"] }), SPIFFE),
  certificate("another trust domain", ({ victimUri }) => ({ uris: [victimUri.replace("ct-ops", "other")] }), SPIFFE),
  certificate("an encoded slash", ({ victimUri }) => ({ uris: [`${victimUri}%2Fx`] }), SPIFFE),
  certificate(
    "slashes encoded",
    ({ victimUri }) => ({ uris: [victimUri.replace(/\/agent\//, "%2Fagent%2F")] }),
    SPIFFE,
  ),
  certificate("a path above", ({ victimUri }) => ({ uris: [victimUri.replace("/org/", "/org/x/../")] }), SPIFFE),
  certificate("another spelling", ({ victimUri }) => ({ uris: [victimUri.replace(/.$/, encodeLetter)] }), SPIFFE),
  certificate(
    "another case",
    ({ victimUri }) => ({ uris: [victimUri.replace("spiffe://ct-ops", "SPIFFE://CT-OPS")] }),
    SPIFFE,
  ),
  certificate("very long", ({ victimUri }) => ({ uris: [`${victimUri}${"x".repeat(3_000)}`] }), SPIFFE),
  certificate(
    "another organisation",
    ({ victimUri, organisationId }) => ({ uris: [victimUri.replace(organisationId, "other")] }),
    /names another organisation/,
  ),
  certificate(
    "another key than the one on record",
    ({ attacker }) => ({ key: attacker.key }),
    /another key than the one on/,
  ),
  {
    ...certificate("nobody's id", ({ victimUri }) => ({ uris: [`${victimUri}x`] }), /does not exist/),
    code: Code.NOT_FOUND,
  },
];

function encodeLetter(letter: string): string {
  return `%${letter.charCodeAt(0).toString(16)}`;
}

/** A stream with the victim's true certificate, and with this instead of its JWT. */
function token(name: string, forge: (scene: Scene) => Promise<string> | string, details: RegExp): Attack {
  return {
    name,
    attempt: async (scene) => answerToStream(scene, scene.victim, await forge(scene)),
    code: Code.UNAUTHENTICATED,
    details,
  };
}

const wrong = (forgery: TokenForgery) => (scene: Scene) => forgeVictimToken(scene, forgery);
const FOREIGN = /was not signed by a published key/;
const DISAGREE = /name different agents/;

const TOKENS: Attack[] = [
  token("of another agent", ({ attacker }) => attacker.jwt, DISAGREE),
  token("of another organisation", wrong({ claims: { org: "other" } }), DISAGREE),
  token("expired", wrong({ claims: { exp: nowS() - 61 } }), /has expired/),
  token("without an end", wrong({ claims: { exp: undefined } }), /"exp"/),
  token("good from tomorrow on", wrong({ claims: { nbf: nowS() + 24 * HOUR_S } }), /"nbf"/),
  token("of another issuer", wrong({ claims: { iss: "somebody" } }), /"iss"/),
  token("of nobody", wrong({ claims: { sub: "" } }), /does not name an agent/),
  token(
    "issued for a key that was replaced",
    async (scene) => forgeVictimToken(scene, { claims: { cnf: { jkt: await thumbprintOf(scene.attacker.key.raw) } } }),
    /issued for another key/,
  ),
  token("bound to something else", wrong({ claims: { cnf: { "x5t#S256": "x" } } }), /other than the thumbprint/),
  token("signed by another key", (scene) => forgeVictimToken(scene, { key: scene.foreignKey }), FOREIGN),
  token("a kid that nobody published", wrong({ header: { kid: "unknown" } }), /key that is not published/),
  token(
    "the kid of another key that is published",
    async (scene) => forgeVictimToken(scene, { header: { kid: await publishAnotherKey(scene) } }),
    FOREIGN,
  ),
  token(
    "alg none",
    (scene) => resignVictimToken(scene, { alg: "none" }, () => ""),
    /cannot be read|is not signed with RS256/,
  ),
  token(
    "HS256 with the public key",
    (scene) => {
      const publicPem = createPublicKey(scene.signingKey).export({ format: "pem", type: "spki" });
      const hmac = (input: string) => createHmac("sha256", publicPem).update(input).digest("base64url");
      return resignVictimToken(scene, { alg: "HS256" }, hmac);
    },
    /is not signed with RS256/,
  ),
  token("RS512", wrong({ header: { alg: "RS512" } }), /is not signed with RS256/),
  token(
    "an extension that has to be understood",
    (scene) => resignVictimToken(scene, { alg: "RS256", crit: ["x"], x: 1 }, (input) => rs256(input, scene.signingKey)),
    /cannot be read/,
  ),
  token("not a token", () => "hello", /cannot be read/),
  token("the agent's id", ({ victim }) => victim.agentId, /cannot be read/),
  token("nothing", () => "", /is missing/),
  token("a million dots", () => ".".repeat(1_000_000), /is longer than any/),
];

async function thumbprintOf(rawKey: Buffer): Promise<string> {
  return calculateJwkThumbprint({ kty: "OKP", crv: "Ed25519", x: rawKey.toString("base64url") });
}

async function publishAnotherKey({ service }: Scene): Promise<string> {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = (await exportJWK(publicKey)) as { kty: string; n: string; e: string };
  const kid = await calculateJwkThumbprint(jwk);
  await publishSigningKeys(service.store.db, [{ kid, publicJwk: jwk }], HOUR_S * 1000);
  return kid;
}

function rs256(input: string, key: KeyObject): string {
  return signBytes("sha256", Buffer.from(input), key).toString("base64url");
}

const CSR = { code: Code.INVALID_ARGUMENT, details: /csr_der: carries another key/ };
const CSR_SIGNATURE = { code: Code.INVALID_ARGUMENT, details: /csr_der: is not signed by/ };
const NAMES_ANOTHER = { code: Code.UNAUTHENTICATED, details: /names another agent/ };

/** What somebody does who is enrolled, or stole a part of what the victim has. */
const IMPERSONATIONS: Attack[] = [
  {
    name: "the victim's JWT with the attacker's certificate",
    attempt: (scene) => answerToStream(scene, scene.attacker, scene.victim.jwt),
    code: Code.UNAUTHENTICATED,
    details: DISAGREE,
  },
  {
    name: "the victim's JWT with a certificate of another organisation",
    attempt: (scene) => answerToStream(scene, scene.stranger, scene.victim.jwt),
    code: Code.UNAUTHENTICATED,
    details: DISAGREE,
  },
  {
    name: "the victim's id in a later message",
    attempt: async ({ service, attacker, victim }) => {
      const stream = await openLiveStream(service, attacker);
      stream.send(heartbeat(victim.agentId, { cpuPercent: 99 }));
      return stream.ended;
    },
    ...NAMES_ANOTHER,
  },
  {
    name: "the victim's public key with the attacker's CSR",
    attempt: async ({ service, victim, attacker }) =>
      answerToCall(register(service, { ...(await registration(victim.key, "")), csrDer: createTestCsr(attacker.key) })),
    ...CSR,
  },
  {
    name: "the victim's public key in a CSR that the attacker signed",
    attempt: async ({ service, victim, attacker }) => {
      const csrDer = createTestCsr(victim.key, attacker.key);
      return answerToCall(register(service, { ...(await registration(victim.key, "")), csrDer }));
    },
    ...CSR_SIGNATURE,
  },
  {
    name: "the victim's public key without a CSR",
    attempt: async ({ service, victim }) =>
      answerToCall(register(service, { ...(await registration(victim.key, "")), csrDer: Buffer.alloc(0) })),
    code: Code.INVALID_ARGUMENT,
    details: /csr_der: missing/,
  },
  {
    name: "a key that nobody has, with a proof that OpenSSL takes",
    attempt: async ({ service }) => {
      const publicKey = `-----BEGIN PUBLIC KEY-----\n${IDENTITY_POINT.toString("base64")}\n-----END PUBLIC KEY-----\n`;
      const csrDer = assembleCsr(IDENTITY_POINT, (signed) => forgeSignature(IDENTITY_POINT, signed));
      const request = await registration(createTestKey(), await service.createToken({ organisationSlug: "test" }));
      return answerToCall(register(service, { ...request, publicKey, csrDer }));
    },
    code: Code.INVALID_ARGUMENT,
    details: /public_key: .*point of small order/,
  },
  {
    name: "a renewal in the victim's name",
    attempt: async ({ service, victim, attacker }) =>
      answerToCall(
        renewCertificate(service, { agentId: victim.agentId, csrDer: createTestCsr(attacker.key) }, attacker),
      ),
    ...NAMES_ANOTHER,
  },
  {
    name: "a renewal with the victim's certificate for a key of the attacker's own",
    attempt: async ({ service, victim }) =>
      answerToCall(
        renewCertificate(service, { agentId: victim.agentId, csrDer: createTestCsr(createTestKey()) }, victim),
      ),
    ...CSR,
  },
  {
    name: "a renewal for the victim's key in a CSR that the attacker signed",
    attempt: async ({ service, victim, attacker }) => {
      const csrDer = createTestCsr(victim.key, attacker.key);
      return answerToCall(renewCertificate(service, { agentId: victim.agentId, csrDer }, victim));
    },
    ...CSR_SIGNATURE,
  },
];

for (const [what, attacks] of Object.entries({
  "forged certificates": CERTIFICATES,
  "forged access tokens": TOKENS,
  impersonations: IMPERSONATIONS,
})) {
  t.test(`${what} are refused, and leave the victim's rows as they were`, async (t) => {
    const scene = await setScene(t);
    const before = await victimRows(scene);
    for (const { name, attempt, code, details } of attacks) {
      t.match(await attempt(scene), { code, details }, name);
      t.same(await victimRows(scene), before, `${name}: nothing changed`);
    }
    const stream = await openLiveStream(scene.service, scene.victim);
    stream.end();
    t.match(await stream.ended, { code: Code.OK }, "the victim itself is served");
  });
}

t.test("nothing in a JWT's header is a source of keys, and nothing is fetched from where it points", async (t) => {
  const scene = await setScene(t);
  const jwk = { ...(await exportJWK(createPublicKey(scene.foreignKey))), kid: "own", alg: "RS256", use: "sig" };
  let requests = 0;
  const server = createServer((_, response) => {
    requests += 1;
    response.end(JSON.stringify({ keys: [jwk] }));
  });
  await once(server.listen(0), "listening");
  t.teardown(() => server.close());
  const url = `http://localhost:${(server.address() as AddressInfo).port}/`;
  const before = await victimRows(scene);
  for (const header of [{ jwk }, { jku: url }, { x5u: url }, { x5c: ["MIIB"] }]) {
    for (const kid of [undefined, "own"]) {
      const jwt = await resignVictimToken(scene, { alg: "RS256", ...header, ...(kid && { kid }) }, (input) =>
        rs256(input, scene.foreignKey),
      );
      const answer = await answerToStream(scene, scene.victim, jwt);
      t.match(
        answer,
        { code: Code.UNAUTHENTICATED, details: kid ? /not published/ : FOREIGN },
        `${Object.keys(header)}`,
      );
    }
  }
  t.equal(requests, 0);
  t.same(await victimRows(scene), before);
});

t.test("a key that was replaced opens nothing, whatever was issued for it", async (t) => {
  const scene = await setScene(t);
  const { service, victim } = scene;
  await service.database.query("update agents set public_key = $2 where id = $1", [
    victim.agentId,
    createTestKey().rawPem,
  ]);
  const before = await victimRows(scene);
  const refused = { code: Code.UNAUTHENTICATED, details: /another key than the one on record/ };
  t.match(await answerToStream(scene, victim, victim.jwt), refused);
  const request = { agentId: victim.agentId, csrDer: createTestCsr(victim.key) };
  t.match(await answerToCall(renewCertificate(service, request, victim)), refused);
  t.same(await victimRows(scene), before);
});

t.test("a serial that is revoked ends what its connection may do, and no session is resumed", async (t) => {
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const scene = await setScene(t);
    const { service, victim } = scene;
    const identified = { cert: victim.certificatePem, key: victim.privateKeyPem };
    const open = await connect(service, version, identified);
    t.match(await renewOver(open, victim.agentId), { code: "invalid_argument" }, `${version}: let in at first`);
    await service.database.query(
      `insert into revoked_certificates (id, organisation_id, serial)
       select 'r', organisation_id, client_cert_serial from agents where id = $1`,
      [victim.agentId],
    );
    const before = await victimRows(scene);
    const revoked = { code: "unauthenticated", message: /was revoked/ };
    t.match(await renewOver(open, victim.agentId), revoked, `${version}: on the open connection`);

    const session = await takeTlsSession(service, version, identified);
    for (const [who, options, refusal] of [
      ["with the certificate", identified, revoked],
      ["without", {}, { code: "unauthenticated", message: /none was presented/ }],
    ] as const) {
      const again = await connect(service, version, { ...options, ...(session && { session }) });
      t.notOk((again.socket as TLSSocket).isSessionReused(), `${version}: nothing to resume`);
      t.match(await renewOver(again, victim.agentId), refusal, `${version}: ${who}`);
    }
    t.same(await victimRows(scene), before);
  }
});

type TestAddress = Scene["service"];

async function connect(
  service: TestAddress,
  version: SecureVersion,
  options: ConnectionOptions,
): Promise<{ session: ClientHttp2Session; socket: TLSSocket }> {
  const socket = await connectSocket(service, version, options);
  const session = connectHttp2(`https://${service.address}`, { createConnection: () => socket });
  t.teardown(() => session.destroy());
  return { session, socket };
}

async function connectSocket(service: TestAddress, version: SecureVersion, options: ConnectionOptions) {
  const socket = connectTls({
    host: "localhost",
    port: service.grpcPort,
    ca: service.ca,
    ALPNProtocols: ["h2"],
    minVersion: version,
    maxVersion: version,
    ...options,
  });
  await once(socket, "secureConnect");
  return socket;
}

/** What a renewal without a CSR is answered over this connection, as JSON. */
async function renewOver({ session }: { session: ClientHttp2Session }, agentId: string): Promise<unknown> {
  const request = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: "/agent.v1.IngestService/RenewCertificate",
    "content-type": "application/json",
  });
  request.end(JSON.stringify({ agentId }));
  let body = "";
  for await (const chunk of request) body += chunk;
  return JSON.parse(body);
}

/** Takes the session that the server offers to resume, if any. */
async function takeTlsSession(
  service: TestAddress,
  version: SecureVersion,
  options: ConnectionOptions,
): Promise<Buffer | undefined> {
  const socket = await connectSocket(service, version, options);
  let offered: Buffer | undefined;
  socket.on("session", (session: Buffer) => {
    offered = session;
  });
  // A ticket of TLS 1.3 comes with the first bytes after the handshake: the server's HTTP/2 settings.
  await once(socket, "data");
  const taken = offered ?? socket.getSession();
  socket.destroy();
  return taken;
}
