import { X509Certificate } from "node:crypto";
import t from "tap";
import { verifyClientCertificate } from "../../dist/identity/client-certificates/certificate-verification.js";
import { createTestCa, forgeCertificate, SubjectAlternativeNameExtension } from "../support/certificates.js";
import { createTestKey } from "../support/field-agent.js";

const DAY_MS = 24 * 60 * 60 * 1000;
/** X.509 counts in seconds. */
const NOW = Math.floor(Date.now() / 1000) * 1000;
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
