import { generateKeyPairSync } from "node:crypto";
import t from "tap";
import {
  agentKeyThumbprint,
  agentPublicKeyFromSpki,
  agentPublicKeyToSpki,
  isStoredKey,
  parseAgentPublicKey,
} from "../../dist/identity/agent-key.js";
import { isWeakPoint } from "../../dist/identity/ed25519-point.js";
import { createTestKey } from "../support/agents/field-agent.js";

const pemOf = (der: Buffer, label = "PUBLIC KEY") =>
  `-----BEGIN ${label}-----\n${der.toString("base64")}\n-----END ${label}-----\n`;
const spkiOf = (raw: Buffer) => Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);

/** The eight points of small order, as OpenSSL and libsodium list them, and such as are written otherwise than they are. */
const WEAK = [
  "0100000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000080",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0000000000000000000000000000000000000000000000000000000000000080",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

t.test("a key is the same in each form in which it is sent, and in which it is stored", async (t) => {
  const key = createTestKey();
  const read = parseAgentPublicKey(key.rawPem);
  t.ok(read.raw.equals(key.raw));
  t.equal(read.pem, key.rawPem);
  for (const form of [key.spkiPem, `\n${key.spkiPem}\n`, key.rawPem.replaceAll("\n", "\r\n")]) {
    t.equal(parseAgentPublicKey(form).pem, key.rawPem);
    t.ok(isStoredKey(form, read));
  }
  t.equal(agentPublicKeyFromSpki(agentPublicKeyToSpki(read))?.pem, key.rawPem);
  t.notOk(isStoredKey(createTestKey().rawPem, read));
  t.notOk(isStoredKey("no key", read));
});

t.test("what is no Ed25519 key in PEM is refused", async (t) => {
  const { raw, rawPem, privateKeyPem } = createTestKey();
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "pem", type: "spki" });
  const x25519 = generateKeyPairSync("x25519").publicKey.export({ format: "pem", type: "spki" });
  const wrong = [
    "",
    raw.toString("base64"),
    privateKeyPem,
    ec.toString(),
    x25519.toString(),
    pemOf(raw, "CERTIFICATE"),
    pemOf(raw.subarray(1)),
    pemOf(Buffer.concat([raw, Buffer.of(0)])),
    pemOf(spkiOf(raw).subarray(1)),
    `${rawPem}${rawPem}`,
  ];
  for (const pem of wrong)
    t.throws(() => parseAgentPublicKey(pem), { code: "invalid_field", message: /^public_key: / });
  t.equal(agentPublicKeyFromSpki(raw), undefined);
});

t.test("a point that proves nothing is no key, in whichever form", async (t) => {
  for (const encoded of WEAK) {
    const raw = Buffer.from(encoded, "hex");
    t.ok(isWeakPoint(raw), encoded);
    for (const der of [raw, spkiOf(raw)]) {
      t.throws(() => parseAgentPublicKey(pemOf(der)), { code: "invalid_field", message: /small order/ });
    }
    t.equal(agentPublicKeyFromSpki(spkiOf(raw)), undefined);
  }
  for (let i = 0; i < 100; i += 1) t.notOk(isWeakPoint(createTestKey().raw));
});

t.test("the thumbprint is that of RFC 8037, appendix A.3", async (t) => {
  const raw = Buffer.from("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "base64url");
  t.equal(agentKeyThumbprint(parseAgentPublicKey(pemOf(raw))), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
});
