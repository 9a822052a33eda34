import { X509Certificate } from "node:crypto";
import t from "tap";
import { IngestError } from "../../dist/errors.js";
import { verifyClientCertificate } from "../../dist/identity/client-certificates/certificate-verification.js";
import { EXTENSION_ID, encodeExtension } from "../../dist/identity/x509/certificate-extensions.js";
import { DER_TAG, encodeElement, encodeSequence } from "../../dist/lib/formats/der.js";
import { createTestKey } from "../support/agents/field-agent.js";
import {
  assembleCertificate,
  type CertificateParts,
  createTestCa,
  forgeCertificate,
  SubjectAlternativeNameExtension,
} from "../support/certificates/certificates.js";
import { IDENTITY_POINT } from "../support/certificates/ed25519.js";

const DAY_MS = 24 * 60 * 60 * 1000;
/** X.509 counts in seconds. */
const NOW = Math.floor(Date.now() / 1000) * 1000;
const SPKI_HEAD = Buffer.from("302a300506032b6570032100", "hex");
const URI = "spiffe://ct-ops/org/o1/agent/a1";
const UNTRUSTED = { code: "client_certificate_invalid", message: /was not issued by a trusted agent CA/ };

const inDays = (days: number) => new Date(NOW + days * DAY_MS);

t.test("a certificate is good for as long as its CA is trusted and in date, give or take a minute", async (t) => {
  const ca = await createTestCa({ notBefore: inDays(-10), notAfter: inDays(10) });
  const sameName = await createTestCa({ notBefore: inDays(-10), notAfter: inDays(10) });
  const key = createTestKey();
  const pem = await forgeCertificate(ca.key, { key, uris: [URI], notBefore: inDays(-20), notAfter: inDays(20) });
  const leaf = new X509Certificate(pem).raw;
  const verifyAt = (time: number, trusted = [sameName.certificate, ca.certificate]) =>
    verifyClientCertificate(leaf, trusted, time);

  const { agentId, organisationId, publicKey, certificate } = verifyAt(NOW);
  t.match({ agentId, organisationId, pem: publicKey.pem }, { agentId: "a1", organisationId: "o1", pem: key.rawPem });
  t.equal(certificate.issuerFingerprintSha256, ca.certificate.fingerprintSha256);
  t.same([certificate.notBefore, certificate.notAfter], [inDays(-20), inDays(20)]);

  for (const time of [NOW - 10 * DAY_MS - 59_000, NOW + 10 * DAY_MS + 59_000]) t.ok(verifyAt(time));
  for (const time of [NOW - 10 * DAY_MS - 61_000, NOW + 10 * DAY_MS + 61_000])
    t.throws(() => verifyAt(time), UNTRUSTED);
  t.throws(() => verifyAt(NOW, [sameName.certificate]), UNTRUSTED, "a CA that is retired counts at once");
  t.throws(() => verifyAt(NOW, []), UNTRUSTED);
});

t.test("what a TLS library would not let through is refused here as well", async (t) => {
  const ca = await createTestCa({ notBefore: inDays(-10), notAfter: inDays(10) });
  const pem = await forgeCertificate(ca.key, {
    key: createTestKey(),
    uris: [URI],
    otherExtensions: [new SubjectAlternativeNameExtension([{ type: "url", value: `${URI}x` }])],
  });
  const twice = new X509Certificate(pem).raw;
  const unreadable = { code: "client_certificate_invalid", message: /cannot be read/ };
  t.throws(() => verifyClientCertificate(twice, [ca.certificate]), unreadable, "two extensions of a kind");
  t.throws(() => verifyClientCertificate(Buffer.from("hello"), [ca.certificate]), unreadable);
  t.throws(() => verifyClientCertificate(Buffer.alloc(0), [ca.certificate]), unreadable);
});

t.test("what is malformed is refused before any library looks at it, and as the caller's fault", async (t) => {
  const ca = await createTestCa({ notBefore: inDays(-10), notAfter: inDays(10) });
  const key = createTestKey();
  const assemble = (parts: CertificateParts) => assembleCertificate(ca, { key, uri: URI, ...parts });
  const verify = (der: Buffer) => verifyClientCertificate(der, [ca.certificate]);
  t.match(verify(await assemble({})), { agentId: "a1" }, "but for what follows it is good");

  const time = (tag: number, text: string) => encodeElement(tag, Buffer.from(text));
  const utc = (text: string) => time(DER_TAG.utcTime, text);
  const [before, after] = [utc("200101000000Z"), utc("491231235959Z")];
  t.match(verify(await assemble({ validity: encodeSequence(before, after) })), { agentId: "a1" });
  const generalized = time(DER_TAG.generalizedTime, "99991231235959Z");
  t.match(verify(await assemble({ validity: encodeSequence(before, generalized) })), { agentId: "a1" });

  const impossible = [
    ...["", "Z", "4912312359Z", "491231235959", "491231235959+0100", "491331235959Z", "490230000000Z"].map(utc),
    ...["491231245959Z", "491231235960Z", "-91231235959Z", "49123123595\0Z", "4912312359590Z"].map(utc),
    ...["491231235959Z", "20491231235959.5Z", "204912312359Z"].map((text) => time(DER_TAG.generalizedTime, text)),
    time(DER_TAG.utf8String, "491231235959Z"),
  ];
  const malformed: [string, CertificateParts][] = [
    ...impossible.map((notAfter) => [
      `until ${notAfter.toString("latin1")}`,
      { validity: encodeSequence(before, notAfter) },
    ]),
    ...impossible.map((notBefore) => [
      `from ${notBefore.toString("latin1")}`,
      { validity: encodeSequence(notBefore, after) },
    ]),
    ["no dates", { validity: encodeSequence() }],
    ["no serial", { serial: Buffer.alloc(0) }],
    ["an empty serial", { serial: Buffer.from("0200", "hex") }],
    ["no key", { publicKey: Buffer.alloc(0) }],
    ["no extensions where some belong", { extensions: Buffer.alloc(0) }],
    ["something after the extensions that breaks off", { rest: Buffer.from("3005", "hex") }],
    ["nested deep", { rest: nest(5_000) }],
    ["long", { rest: encodeElement(DER_TAG.octetString, Buffer.alloc(20_000)) }],
    ["an identifier of 600 bytes as a usage", usage(Buffer.alloc(600, 1))],
    ["an identifier that breaks off", usage(Buffer.from("2b0601050507038f", "hex"))],
    ["an empty identifier", usage(Buffer.alloc(0))],
    ["a usage that is none", { extensions: encodeSequence(extension(EXTENSION_ID.extendedKeyUsage, "3003020101")) }],
    ...Object.entries(EXTENSION_ID).flatMap(([name, id]) =>
      ["", "30", "3080", "308101ff", "0500ff", "a0"].map((value) => [
        `${name} of ${value}`,
        { extensions: encodeSequence(extension(id, value)) },
      ]),
    ),
    ["a name constraint that breaks off", { extensions: encodeSequence(extension("551d1e", "3003a0")) }],
  ] as [string, CertificateParts][];
  for (const [what, parts] of malformed) {
    const der = await assemble(parts);
    t.throws(() => verify(der), { code: "client_certificate_invalid", message: /cannot be read/ }, what);
  }

  // Well-formed, and of no use.
  const noKey = { code: "client_certificate_invalid", message: /does not carry an Ed25519 key/ };
  for (const [what, publicKey] of [
    ["a key of 31 bytes", Buffer.concat([Buffer.from("3029300506032b6570032000", "hex"), key.raw.subarray(1)])],
    ["a key of an algorithm that nobody knows", Buffer.from("300a300506032b65700301ff", "hex")],
    ["an X25519 key", Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), key.raw])],
  ] as const) {
    const der = await assemble({ publicKey });
    t.throws(() => verify(der), { code: "client_certificate_invalid" }, what);
  }
  const weak = await assemble({ publicKey: Buffer.concat([SPKI_HEAD, IDENTITY_POINT]) });
  t.throws(() => verify(weak), noKey);
});

t.test("no byte of a certificate can be changed without a refusal", async (t) => {
  const ca = await createTestCa({ notBefore: inDays(-10), notAfter: inDays(10) });
  const good = await assembleCertificate(ca, { key: createTestKey(), uri: URI });
  let refused = 0;
  for (let index = 0; index < good.length; index++) {
    for (const change of [0x01, 0x20]) {
      const changed = Buffer.from(good);
      changed[index] = (changed[index] ?? 0) ^ change;
      try {
        verifyClientCertificate(changed, [ca.certificate]);
      } catch (error) {
        if (!(error instanceof IngestError) || error.code !== "client_certificate_invalid") throw error;
        refused++;
      }
    }
    t.throws(() => verifyClientCertificate(good.subarray(0, index), [ca.certificate]));
  }
  t.equal(refused, good.length * 2);
});

function nest(depth: number): Buffer {
  let inner: Buffer = Buffer.alloc(0);
  for (let i = 0; i < depth; i++) inner = encodeSequence(inner);
  return inner;
}

function usage(identifier: Buffer): CertificateParts {
  const value = encodeSequence(encodeElement(DER_TAG.objectIdentifier, identifier));
  return { extensions: encodeSequence(encodeExtension(EXTENSION_ID.extendedKeyUsage, value)) };
}

function extension(id: string, value: string): Buffer {
  return encodeExtension(id, Buffer.from(value, "hex"));
}
