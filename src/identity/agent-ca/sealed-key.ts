import { createCipheriv, createDecipheriv, randomBytes, scrypt } from "node:crypto";
import { promisify } from "node:util";
import { IngestError } from "../../errors.js";

const VERSION = 0x01;
const [SALT_BYTES, IV_BYTES, TAG_BYTES, KEY_BYTES] = [16, 16, 16, 32];
const HEADER_BYTES = 1 + SALT_BYTES + IV_BYTES + TAG_BYTES;
const ALGORITHM = "aes-256-gcm";

const deriveKey = (secret: string, salt: Buffer): Promise<Buffer> =>
  promisify<string, Buffer, number, { N: number; r: number; p: number }, Buffer>(scrypt)(secret, salt, KEY_BYTES, {
    N: 16_384,
    r: 8,
    p: 1,
  });

/** Encrypts a private key as the platform does (database contract, "Encrypted values"). */
export async function sealKey(keyPem: string, secret: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(ALGORITHM, await deriveKey(secret, salt), iv);
  const ciphertext = Buffer.concat([cipher.update(keyPem, "utf8"), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), salt, iv, cipher.getAuthTag(), ciphertext]).toString("base64");
}

/**
 * Decrypts what {@link sealKey}, or the platform, wrote.
 *
 * @throws IngestError `unusable_configuration` when the secret is not the one it was written with
 */
export async function unsealKey(sealed: string, secret: string): Promise<string> {
  const bytes = Buffer.from(sealed, "base64");
  if (bytes.length <= HEADER_BYTES || bytes[0] !== VERSION) {
    throw new IngestError("unusable_configuration", "the stored private key is not in the platform's encrypted form");
  }
  const salt = bytes.subarray(1, 1 + SALT_BYTES);
  const iv = bytes.subarray(1 + SALT_BYTES, 1 + SALT_BYTES + IV_BYTES);
  const tag = bytes.subarray(HEADER_BYTES - TAG_BYTES, HEADER_BYTES);
  const decipher = createDecipheriv(ALGORITHM, await deriveKey(secret, salt), iv, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(bytes.subarray(HEADER_BYTES)), decipher.final()]).toString("utf8");
  } catch (cause) {
    throw new IngestError(
      "unusable_configuration",
      "the stored private key cannot be decrypted: LDAP_ENCRYPTION_KEY (or BETTER_AUTH_SECRET) is not the secret it was encrypted with",
      { cause },
    );
  }
}
