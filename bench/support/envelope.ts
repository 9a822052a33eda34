/** What stands before a message: a byte of flags, and its length. */
export const ENVELOPE_BYTES = 5;

/** A message as gRPC sends it, uncompressed. */
export function envelopeOf(message: Uint8Array): Buffer {
  const envelope = Buffer.alloc(ENVELOPE_BYTES + message.length);
  envelope.writeUInt32BE(message.length, 1);
  envelope.set(message, ENVELOPE_BYTES);
  return envelope;
}
