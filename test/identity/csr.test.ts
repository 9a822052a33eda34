import { createPublicKey, sign, webcrypto } from "node:crypto";
import "reflect-metadata";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";
import t from "tap";
import { IngestError } from "../../dist/errors.js";
import { parseAgentPublicKey } from "../../dist/identity/agent-key.js";
import { requirePossession } from "../../dist/identity/csr.js";
import { assembleCsr, createTestCsr, createTestKey } from "../support/agents/field-agent.js";
import {
  forgeSignature,
  isGood,
  SMALL_ORDER_POINTS,
  signGivingAway,
  TAKES_SMALL_ORDER,
} from "../support/certificates/ed25519.js";

const key = createTestKey();
const publicKey = parseAgentPublicKey(key.rawPem);

async function isAccepted(csrDer: Buffer): Promise<boolean> {
  try {
    await requirePossession(csrDer, publicKey);
    return true;
  } catch (error) {
    if (error instanceof IngestError && error.code === "invalid_field") return false;
    throw error;
  }
}

t.test("a request that its key has signed proves possession", async (t) => {
  const csr = createTestCsr(key);
  t.ok(await isAccepted(csr));
  t.ok(await isAccepted(Buffer.from(new Uint8Array(csr))), "wherever the bytes are");
});

t.test("a request that another library wrote does, too", async (t) => {
  const keys = (await webcrypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const { rawData } = await Pkcs10CertificateRequestGenerator.create({
    name: "O=Example, CN=agent",
    keys,
    signingAlgorithm: { name: "Ed25519" },
  });
  const raw = Buffer.from(await webcrypto.subtle.exportKey("raw", keys.publicKey)).toString("base64");
  const itsKey = parseAgentPublicKey(`-----BEGIN PUBLIC KEY-----\n${raw}\n-----END PUBLIC KEY-----\n`);
  await t.resolves(requirePossession(Buffer.from(rawData), itsKey));
});

t.test("no request with a bit changed, missing or added does", async (t) => {
  const csr = createTestCsr(key);
  for (let index = 0; index < csr.length; index++) {
    for (let bit = 0; bit < 8; bit++) {
      const changed = Buffer.from(csr);
      changed[index] = (changed[index] ?? 0) ^ (1 << bit);
      if (await isAccepted(changed)) t.fail(`bit ${bit} of byte ${index}`);
    }
    if (await isAccepted(csr.subarray(0, index))) t.fail(`cut off after ${index} bytes`);
  }
  t.notOk(await isAccepted(Buffer.concat([csr, Buffer.from([0])])));
  t.notOk(await isAccepted(Buffer.concat([csr, csr])));
});

t.test("nor one that another key has signed, or that carries another", async (t) => {
  const other = createTestKey();
  await t.rejects(requirePossession(Buffer.alloc(0), publicKey), { message: /missing/ });
  await t.rejects(requirePossession(Buffer.alloc(8193), publicKey), { message: /longer than 8192 bytes/ });
  for (const [csr, message] of [
    [createTestCsr(key, other), /is not signed by the key it carries/],
    [createTestCsr(other), /carries another key than the agent's/],
    [createTestCsr(other, key), /carries another key than the agent's/],
    [Buffer.from("3003020100", "hex"), /not a PKCS#10 request/],
    [createPublicKey(key.spkiPem).export({ format: "der", type: "spki" }), /not a PKCS#10 request/],
  ] as const) {
    await t.rejects(requirePossession(csr, publicKey), { code: "invalid_field", message });
  }
});

t.test("a key that nobody has proves nothing, though OpenSSL takes the proof", async (t) => {
  t.equal(SMALL_ORDER_POINTS.length, 14);
  for (const raw of SMALL_ORDER_POINTS) {
    const csr = assembleCsr(raw, (signed) => forgeSignature(raw, signed));
    const pem = `-----BEGIN PUBLIC KEY-----\n${raw.toString("base64")}\n-----END PUBLIC KEY-----\n`;
    t.throws(() => parseAgentPublicKey(pem), { code: "invalid_field", message: /point of small order/ });
    await t.rejects(requirePossession(csr, { raw, pem }), { message: /carries another key/ }, "nor by its CSR alone");
  }
  // Not of small order, and one key more for the same point: only nobody knows a key of any of them.
  for (const y of [3n, 18n]) {
    const raw = Buffer.from((2n ** 255n - 19n + y).toString(16), "hex").reverse();
    t.throws(() => parseAgentPublicKey(key.rawPem.replace(key.raw.toString("base64"), raw.toString("base64"))), {
      code: "invalid_field",
    });
  }
  for (let i = 0; i < 100; i++) t.ok(parseAgentPublicKey(createTestKey().rawPem));
});

t.test("nor does a signature that gives its key away, or is another one's in other bytes", async (t) => {
  const givingAway = (signed: Buffer) => signGivingAway(key, signed);
  let isTaken = false;
  const csr = assembleCsr(key.raw, (signed) => {
    const signature = givingAway(signed);
    isTaken = isGood(key.raw, signed, signature);
    return signature;
  });
  t.equal(isTaken, TAKES_SMALL_ORDER, "OpenSSL takes it up to 3.4");
  await t.rejects(requirePossession(csr, publicKey), { message: /is not signed by the key it carries/ });
  const malleable = assembleCsr(key.raw, (signed) => {
    const signature = sign(null, signed, key.privateKey);
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const scalar = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString("hex")}`) + order;
    const encoded = Buffer.from(scalar.toString(16).padStart(64, "0"), "hex").reverse();
    return Buffer.concat([signature.subarray(0, 32), encoded]);
  });
  await t.rejects(requirePossession(malleable, publicKey), { message: /is not signed by the key it carries/ });
});
