import { execFile } from "node:child_process";
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { createAgentCa, readSigningCa } from "../../dist/identity/agent-ca/signing-ca.js";
import { parseAgentPublicKey } from "../../dist/identity/agent-key.js";
import { verifyClientCertificate } from "../../dist/identity/client-certificates/certificate-verification.js";
import { issueClientCertificate } from "../../dist/identity/client-certificates/issue-client-certificate.js";
import {
  EXTENDED_KEY_USAGE,
  EXTENSION_ID,
  encodeBasicConstraints,
  encodeExtendedKeyUsage,
  encodeExtension,
  encodeKeyUsage,
  encodeSubjectKeyIdentifier,
  KEY_USAGE,
} from "../../dist/identity/x509/certificate-extensions.js";
import { readCertificate } from "../../dist/identity/x509/read-certificate.js";
import { encodeName } from "../../dist/identity/x509/write-certificate.js";
import { DER_TAG, encodeElement, encodeSequence } from "../../dist/lib/formats/der.js";
import { createTestKey } from "../support/agents/field-agent.js";
import {
  CA_EXTENSIONS,
  type CaVariant,
  createCa,
  type TestCa,
  UNFIT_CA_EXTENSIONS,
} from "../support/certificates/agent-cas.js";
import { CERT_MANAGER_CA, GO_CA, SPELT_OUT_CURVE_CA } from "../support/certificates/foreign-cas.js";
import { makeDirectory } from "../support/service.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const IDENTITY = { organisationId: "o1", agentId: "a1" };
const ecKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const pemOf = (key: KeyObject) => key.export({ format: "pem", type: "pkcs8" }).toString();
const SET_OF = (id: string, tag: number, value: string | Buffer) =>
  encodeElement(
    DER_TAG.set,
    encodeSequence(
      encodeElement(DER_TAG.objectIdentifier, Buffer.from(id, "hex")),
      encodeElement(tag, Buffer.from(value)),
    ),
  );
const [PRINTABLE, T61, IA5, BMP] = [0x13, 0x14, 0x16, 0x1e];
const COMMON_NAME = "550403";

/** Names whose text can be written in more ways than one, so that they have to be copied as they are. */
const NAMES: Record<string, Buffer> = {
  "a PrintableString": encodeSequence(SET_OF(COMMON_NAME, PRINTABLE, "agents")),
  "a T61String": encodeSequence(SET_OF(COMMON_NAME, T61, "agents")),
  "a BMPString": encodeSequence(SET_OF(COMMON_NAME, BMP, Buffer.from("\0a\0b", "latin1"))),
  "special characters and spaces": encodeSequence(SET_OF(COMMON_NAME, DER_TAG.utf8String, ' a, b+c="d";<e>\\#f ')),
  "mail address and domain": encodeSequence(
    SET_OF("2a864886f70d010901", IA5, "ca@example.org"),
    SET_OF("0992268993f22c640119", IA5, "example"),
  ),
  "an attribute that nobody knows": encodeSequence(SET_OF("2a0304", DER_TAG.utf8String, "x")),
  "several attributes in one set": encodeSequence(
    encodeElement(
      DER_TAG.set,
      ...["55040a", COMMON_NAME]
        .map((id) =>
          encodeSequence(
            encodeElement(DER_TAG.objectIdentifier, Buffer.from(id, "hex")),
            encodeElement(DER_TAG.utf8String, Buffer.from("x")),
          ),
        )
        .sort(Buffer.compare),
    ),
  ),
  nothing: encodeSequence(),
};

const openssl = promisify(execFile);

/** What a CA signs is verified by the service, and by OpenSSL; returns the certificate. */
async function requireGoodLeaf(
  t: Test,
  directory: string,
  { certificatePem, keyPem }: TestCa,
  others: { root?: string } = {},
): Promise<Buffer> {
  const ca = await readSigningCa(certificatePem, keyPem, "the CA");
  const { der, pem } = await issueClientCertificate(ca, IDENTITY, parseAgentPublicKey(createTestKey().rawPem));
  t.match(verifyClientCertificate(der, [ca]), IDENTITY);
  const file = (name: string) => join(directory, name);
  await writeFile(file("leaf.pem"), pem);
  await writeFile(file("root.pem"), others.root ?? ca.certificatePem);
  await writeFile(file("ca.pem"), ca.certificatePem);
  const chain = ["-CAfile", file("root.pem"), "-untrusted", file("ca.pem")];
  await t.resolves(openssl("openssl", ["verify", "-purpose", "sslclient", ...chain, file("leaf.pem")]));
  const [leaf, issuer] = [readCertificate(der), readCertificate(new X509Certificate(ca.certificatePem).raw)];
  t.ok(leaf.issuer.equals(issuer.subject), "the name is the issuer's, byte for byte");
  t.equal(
    leaf.extensions.get(EXTENSION_ID.authorityKeyIdentifier)?.value.toString("hex"),
    ca.keyIdentifier && encodeSequence(encodeElement(0x80, ca.keyIdentifier)).toString("hex"),
    "and so is the key identifier",
  );
  return der;
}

t.test("what a CA signs is good here and for OpenSSL, whoever made the CA", async (t) => {
  const directory = await makeDirectory(t);
  const good: Record<string, TestCa> = {
    "made by the service": await createAgentCa(),
    "made by Go 1.26, as the earlier service does": GO_CA,
    "made by Go 1.26, as cert-manager does": CERT_MANAGER_CA,
    "without a key identifier": await createCa(),
    "P-384": await createCa({ key: generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey }),
    "P-521": await createCa({ key: generateKeyPairSync("ec", { namedCurve: "P-521" }).privateKey }),
    Ed25519: await createCa({ key: generateKeyPairSync("ed25519").privateKey, keyIdentifier: Buffer.from("id") }),
    "for other hosts and by a policy": await createCa({
      extensions: [
        ...CA_EXTENSIONS,
        encodeExtension("551d1e", Buffer.from("300aa00830068204742e6575", "hex"), true),
        encodeExtension("551d20", Buffer.from("3006300406022a03", "hex"), true),
      ],
    }),
    "for clients": await createCa({
      extensions: [...CA_EXTENSIONS, encodeExtendedKeyUsage(EXTENDED_KEY_USAGE.clientAuthentication)],
    }),
    "without a key usage": await createCa({ extensions: [encodeBasicConstraints({ isCa: true })] }),
  };
  for (const bytes of [0, 1, 8, 19, 32, 64, 200]) {
    good[`a key identifier of ${bytes} bytes`] = await createCa({ keyIdentifier: Buffer.alloc(bytes, bytes) });
  }
  for (const [what, ca] of Object.entries(good)) {
    await t.test(what, async (t) => {
      await requireGoodLeaf(t, directory, ca);
    });
  }
});

t.test("a CA's name is copied as it is", async (t) => {
  const directory = await makeDirectory(t);
  for (const [what, name] of Object.entries(NAMES)) {
    await t.test(what, async (t) => {
      await requireGoodLeaf(t, directory, await createCa({ name, keyIdentifier: Buffer.from(what) }));
    });
  }
});

t.test("of a chain the certificate signs that the key belongs to, wherever it stands", async (t) => {
  const directory = await makeDirectory(t);
  const root = await createCa({
    name: encodeName({ commonName: "root" }),
    extensions: [
      encodeExtension(EXTENSION_ID.basicConstraints, encodeSequence(encodeElement(DER_TAG.boolean, Buffer.of(0xff)))),
    ],
    keyIdentifier: Buffer.from("root"),
  });
  const own = await createCa({ issuer: root, keyIdentifier: Buffer.from("own") });
  const text = `Bag Attributes\n    friendlyName: agents\n${own.certificatePem.replaceAll("\n", "\r\n")}`;
  for (const certificatePem of [
    own.certificatePem + root.certificatePem,
    root.certificatePem + own.certificatePem,
    `${text}\n\n${root.certificatePem}`,
  ]) {
    await requireGoodLeaf(t, directory, { certificatePem, keyPem: own.keyPem }, { root: root.certificatePem });
  }
});

t.test("a CA that cannot sign is refused, with the reason", async (t) => {
  const other = await createCa();
  const ca = (variant: CaVariant) => createCa(variant);
  const keyIdentifier = (value: Buffer) => [
    ...CA_EXTENSIONS,
    encodeExtension(EXTENSION_ID.subjectKeyIdentifier, value),
  ];
  const octets = encodeElement(DER_TAG.octetString, Buffer.from("id"));
  const extended = (id: string, hex: string, critical = true) => [
    ...CA_EXTENSIONS,
    encodeExtension(id, Buffer.from(hex, "hex"), critical),
  ];
  const spiffe = "300ca00a30088606782e74657374";
  const cases: [string, TestCa, RegExp][] = [
    ["another key", { ...other, keyPem: pemOf(ecKey()) }, /has a key that does not belong to its certificate/],
    ["no certificate", { ...other, certificatePem: "hello" }, /is not a certificate in PEM/],
    ["a leaf", await ca({ extensions: [encodeBasicConstraints({ isCa: false })] }), /is not a CA certificate/],
    ["no extensions", await ca({ extensions: [] }), /is not a CA certificate/],
    [
      "a key usage without certificates",
      await ca({ extensions: [encodeBasicConstraints({ isCa: true }), encodeKeyUsage(KEY_USAGE.digitalSignature)] }),
      /is not a CA certificate .*keyCertSign/,
    ],
    ["expired", await ca({ notAfter: new Date(Date.now() - DAY_MS) }), /expired on/],
    ["not valid yet", await ca({ notBefore: new Date(Date.now() + DAY_MS) }), /is not valid before .*clocks/],
    [
      "two key identifiers",
      await ca({ extensions: [...keyIdentifier(octets), encodeSubjectKeyIdentifier(Buffer.of(1))] }),
      /cannot be read: two extensions/,
    ],
    ["a malformed key identifier", await ca({ extensions: keyIdentifier(Buffer.from("id")) }), /cannot be read/],
    [
      "a malformed extension that OpenSSL looks at",
      await ca({ extensions: UNFIT_CA_EXTENSIONS }),
      /cannot sign, since what it signs would be refused here/,
    ],
    [
      "only for servers",
      await ca({ extensions: [...CA_EXTENSIONS, encodeExtendedKeyUsage(EXTENDED_KEY_USAGE.serverAuthentication)] }),
      /is not for certificates of clients/,
    ],
    ["for other URIs", await ca({ extensions: extended("551d1e", spiffe) }), /limits the names/],
    ["not for some names", await ca({ extensions: extended("551d1e", "3008a1063004a4023000") }), /limits the names/],
    ["a critical extension of somebody's", await ca({ extensions: extended("2a0304", "0500") }), /not understood/],
    ["a curve that is spelt out", SPELT_OUT_CURVE_CA, /curve is not named/],
    [
      "a key with a passphrase",
      {
        ...other,
        keyPem: ecKey().export({ format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase: "x" }).toString(),
      },
      /is encrypted: write it without a passphrase/,
    ],
    [
      "a key of another kind",
      { ...other, keyPem: pemOf(generateKeyPairSync("x25519").privateKey) },
      /is neither an RSA/,
    ],
  ];
  for (const [what, { certificatePem, keyPem }, message] of cases) {
    await t.rejects(readSigningCa(certificatePem, keyPem, "the CA"), { code: "unusable_configuration", message }, what);
  }
});
