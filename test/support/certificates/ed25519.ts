import { createHash, createPublicKey, verify } from "node:crypto";
import { createTestKey, type TestKey } from "../agents/field-agent.js";

const P = 2n ** 255n - 19n;
/** The order of the group that honest points are in. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const Y_OF_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022n;

/** Every way to write a point of small order, of which OpenSSL takes each: fourteen for eight points. */
export const SMALL_ORDER_POINTS: readonly Buffer[] = [
  0n,
  1n,
  P - 1n,
  Y_OF_ORDER_8,
  P - Y_OF_ORDER_8,
  P,
  P + 1n,
].flatMap((y) => [encode(y), encode(y + 2n ** 255n)]);

/** The identity, whose logarithm everybody knows. */
export const IDENTITY_POINT = encode(1n);

/** OpenSSL 3.5 and later refuse points of small order by themselves; no signature of one can be found there. */
export const TAKES_SMALL_ORDER = isGood(IDENTITY_POINT, Buffer.alloc(0), forge());

/** A signature that OpenSSL takes, if it takes any, for one of a key that nobody has, since it is of small order. */
export function forgeSignature(point: Buffer, message: Buffer): Buffer {
  if (!TAKES_SMALL_ORDER) return forge();
  for (let tries = 0; tries < 1000; tries++) {
    // Good whenever the hash is divisible by the order of the point: one time in eight, or more often.
    const signature = forge();
    if (isGood(point, message, signature)) return signature;
  }
  throw new Error("OpenSSL takes no signature of this point");
}

function forge(): Buffer {
  const { raw, scalar } = scalarOf(createTestKey());
  return Buffer.concat([raw, encode(scalar % L)]);
}

/** A signature that OpenSSL takes, if it takes such points, and of which everybody can compute the key that made it. */
export function signGivingAway(key: TestKey, message: Buffer): Buffer {
  const hash = decode(createHash("sha512").update(IDENTITY_POINT).update(key.raw).update(message).digest());
  return Buffer.concat([IDENTITY_POINT, encode((hash * scalarOf(key).scalar) % L)]);
}

/** Whether OpenSSL takes a signature. */
export function isGood(raw: Buffer, message: Buffer, signature: Buffer): boolean {
  const key = createPublicKey({
    key: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]),
    format: "der",
    type: "spki",
  });
  return verify(null, message, key, signature);
}

/** The scalar behind a key (RFC 8032, 5.1.5). */
function scalarOf({ privateKey, raw }: TestKey): { raw: Buffer; scalar: bigint } {
  const seed = privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);
  const half = createHash("sha512").update(seed).digest().subarray(0, 32);
  half[0] = (half[0] ?? 0) & 248;
  half[31] = ((half[31] ?? 0) & 127) | 64;
  return { raw, scalar: decode(half) };
}

function encode(number: bigint): Buffer {
  return Buffer.from(number.toString(16).padStart(64, "0"), "hex").reverse();
}

function decode(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}
