import { createHash, randomBytes } from "node:crypto";

const TOKEN_BYTES = 32;

/** Makes an enrolment token: 256 random bits, URL-safe. */
export function createEnrolmentToken(): string {
  return `ctops_${randomBytes(TOKEN_BYTES).toString("base64url")}`;
}

/** The hash by which a token is found: lower-case hex SHA-256 (database contract, `agent_enrolment_tokens`). */
export function hashEnrolmentToken(token: string): string {
  return createHash("sha256").update(token, "utf8").digest("hex");
}
