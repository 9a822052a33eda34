import { createHash, randomBytes } from "node:crypto";

const TOKEN_BYTES = 32;
/** White space, and what cannot be seen either: a byte-order mark, characters of no width. */
const PASTED = /^[\s\p{Cf}]+|[\s\p{Cf}]+$/gu;

/** Makes an enrolment token: 256 random bits, URL-safe. */
export function createEnrolmentToken(): string {
  return `ctops_${randomBytes(TOKEN_BYTES).toString("base64url")}`;
}

/** A token without what pasting brings before and after it. */
export function trimEnrolmentToken(text: string): string {
  return text.replace(PASTED, "");
}

/** The hash by which a token is found: lower-case hex SHA-256 (database contract, `agent_enrolment_tokens`). */
export function hashEnrolmentToken(token: string): string {
  return createHash("sha256").update(token, "utf8").digest("hex");
}
