import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify, SignJWT } from "jose";
import { IngestError } from "../../errors.js";
import { type AgentPublicKey, agentKeyThumbprint } from "../agent-key.js";
import type { SpiffeIdentity } from "../spiffe-id.js";
import type { SigningKeyRing } from "./signing-key-ring.js";

const ISSUER = "ct-ops-ingest";
const LIFETIME = "24h";
const CLOCK_TOLERANCE_S = 60;
/** One is 700 characters long, most of it the signature. */
const MAX_LENGTH = 8 * 1024;

/** What an access token says. */
export interface AccessTokenClaims extends SpiffeIdentity {
  /** Of the agent key it was issued for (RFC 7800, `cnf.jkt`); tokens of the earlier service name none. */
  keyThumbprint?: string;
}

/** Issues the JWT of an agent: RS256, 24 hours (wire contract, "Tokens and certificates"), bound to the agent's key. */
export function issueAccessToken(
  keys: SigningKeyRing,
  { agentId, organisationId, publicKey }: SpiffeIdentity & { publicKey: AgentPublicKey },
): Promise<string> {
  return new SignJWT({ org: organisationId, cnf: { jkt: agentKeyThumbprint(publicKey) } })
    .setProtectedHeader({ alg: "RS256", typ: "JWT", kid: keys.current.kid })
    .setIssuer(ISSUER)
    .setSubject(agentId)
    .setIssuedAt()
    .setExpirationTime(LIFETIME)
    .sign(keys.current.privateKey);
}

/**
 * Verifies a JWT: signed with RS256 by a published key, our issuer, not expired. Nothing in its header is a source of
 * keys (`jku`, `jwk`, `x5u`, `x5c`), and `crit` is refused. A token without `kid` (the earlier service issued such) is
 * tried against every published key.
 *
 * @param mayBeExpired where the client certificate decides, a token whose only fault is its age is good
 * @throws IngestError `access_token_invalid`, with what is wrong
 */
export async function verifyAccessToken(
  keys: SigningKeyRing,
  token: string,
  { mayBeExpired = false }: { mayBeExpired?: boolean } = {},
): Promise<AccessTokenClaims> {
  const { sub: agentId, org: organisationId, cnf } = await verifySignature(keys, token, mayBeExpired);
  if (typeof agentId !== "string" || agentId === "" || typeof organisationId !== "string") {
    throw invalid("does not name an agent and its organisation");
  }
  if (cnf === undefined) return { agentId, organisationId };
  const keyThumbprint = typeof cnf === "object" && cnf !== null && "jkt" in cnf ? cnf.jkt : undefined;
  if (typeof keyThumbprint !== "string") throw invalid("is bound to something other than the thumbprint of a key");
  return { agentId, organisationId, keyThumbprint };
}

async function verifySignature(keys: SigningKeyRing, token: string, mayBeExpired: boolean): Promise<JWTPayload> {
  if (token === "")
    throw invalid(
      "is missing; a heartbeat stream carries it in agent_id of its first message, other calls in `authorization: Bearer`",
    );
  if (token.length > MAX_LENGTH) throw invalid("is longer than any that was issued");
  let failure: unknown = new errors.JWKSNoMatchingKey();
  for (const { publicKey } of await keys.verificationKeys(readKid(token))) {
    try {
      const { payload } = await jwtVerify(token, publicKey, {
        algorithms: ["RS256"],
        issuer: ISSUER,
        requiredClaims: ["exp", "iat"],
        clockTolerance: CLOCK_TOLERANCE_S,
      });
      return payload;
    } catch (error) {
      // Thrown after the signature was found good, and after every other claim.
      if (mayBeExpired && error instanceof errors.JWTExpired) return error.payload;
      failure = error;
      // Anything else is wrong with the token whichever key is tried.
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) break;
    }
  }
  throw invalid(describe(failure), failure);
}

function readKid(token: string): string | undefined {
  try {
    return decodeProtectedHeader(token).kid;
  } catch (cause) {
    throw invalid(describe(cause), cause);
  }
}

function describe(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "has expired; register again to obtain a new one";
  if (error instanceof errors.JWKSNoMatchingKey) return "names a key that is not published";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "was not signed by a published key";
  if (error instanceof errors.JOSEAlgNotAllowed) return "is not signed with RS256";
  if (error instanceof errors.JWTClaimValidationFailed) return `has an unacceptable claim "${error.claim}"`;
  return "cannot be read";
}

function invalid(why: string, cause?: unknown): IngestError {
  return new IngestError("access_token_invalid", `the access token (JWT) ${why}`, { cause });
}
