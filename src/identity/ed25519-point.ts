/** The field's prime. */
const P = 2n ** 255n - 19n;
const SIGN_BIT = 2n ** 255n;
/** The y of a point of order 8; the other one is its negative. */
const Y_OF_ORDER_8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
/** The y of all eight points whose order divides the cofactor. */
const SMALL_ORDER_Y: ReadonlySet<bigint> = new Set([0n, 1n, P - 1n, Y_OF_ORDER_8, P - Y_OF_ORDER_8]);

/**
 * Whether 32 bytes are a point that honest signers never have: one of small order, for which anybody can make signatures,
 * or one written otherwise than RFC 8032 (5.1.3) has it, by which one key would be two. OpenSSL takes both. That it is a
 * point at all is left to the verification of a signature.
 */
export function isWeakPoint(encoded: Uint8Array): boolean {
  const y = BigInt(`0x${Buffer.from(encoded).reverse().toString("hex")}`) % SIGN_BIT;
  return y >= P || SMALL_ORDER_Y.has(y);
}
