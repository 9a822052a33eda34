/**
 * Every way in which the service says no. The code is stable: logs, counters and the RPC status are derived from it.
 * What an RPC caller is told of each is decided in `rpc/refusals/error-status.ts`.
 */
export type IngestErrorCode =
  /** A field of a request is missing or malformed; the message begins with its name and a colon. */
  | "invalid_field"
  /** The enrolment token is unknown, expired, exhausted or revoked; which of them is only in the log. */
  | "enrolment_token_unusable"
  /** The key is known, but in another organisation than the enrolment token's. */
  | "key_of_other_organisation"
  /** The machine of a new key is, or may be, a host that exists. */
  | "host_exists"
  /** Too many registrations from the caller's address were refused. */
  | "too_many_refusals"
  /** An agent calls more often, or more at one time, than an agent needs to. */
  | "too_many_calls"
  /** No client certificate, or one that does not stand up to verification. */
  | "client_certificate_invalid"
  /** The client certificate is of an agent CA that no longer signs, and the agent has to move to the one that does. */
  | "certificate_outdated"
  /** The access token (JWT) does not stand up to verification. */
  | "access_token_invalid"
  /** Two credentials of one call name different agents, or a key that is not the one on record. */
  | "identity_mismatch"
  /** The agent does not exist (any more). */
  | "agent_not_found"
  /** The agent exists, but its status forbids the call (pending, revoked). */
  | "agent_not_allowed"
  /** Two machines seem to have the agent's identity, and neither is let in before an operator says so. */
  | "agent_locked"
  /** The host has no such task. */
  | "task_not_found"
  /** A call brings more than one may. */
  | "too_much"
  /** The caller did not go on in time. */
  | "deadline"
  /** A newer stream of the same agent took the place of this one. */
  | "session_displaced"
  /** This instance is shutting down; another one will take the agent. */
  | "draining"
  /** The database refuses the values that were sent, by themselves. */
  | "not_storable"
  /** The database does not answer or refused for a passing reason. */
  | "database_unavailable"
  /** The database has none of the platform's tables. */
  | "platform_tables_missing"
  /** A newer version of this service has migrated the database. */
  | "database_newer"
  /** A file or a stored value the service needs cannot be used. */
  | "unusable_configuration"
  /** What an operator named does not exist, or is not in the state the command needs. */
  | "operation_refused";

/** What belongs to an error, besides its message. */
export interface ErrorDetails {
  /** How long to wait before the same call is made again, in milliseconds; the caller is told, and nothing else of this. */
  retryAfterMs?: number;
  /** Goes to the log only. */
  cause?: unknown;
  /** A closer reason than the code, where the caller is not to learn it; one of few constant words. */
  reason?: string;
  /** The agent that credentials named which stood up so far. */
  agentId?: string;
  /** What else the log says of it; never a secret. */
  logged?: Readonly<Record<string, string>>;
}

/** An error with a stable code and a message that is safe and useful to the operator of an agent. */
export class IngestError extends Error {
  override readonly name = "IngestError";
  readonly retryAfterMs: number | undefined;
  readonly reason: string | undefined;
  readonly agentId: string | undefined;
  readonly logged: Readonly<Record<string, string>> | undefined;

  /**
   * @param code stable, see {@link IngestErrorCode}
   * @param message what, why and what to do; never a secret
   */
  constructor(
    readonly code: IngestErrorCode,
    message: string,
    { retryAfterMs, reason, agentId, logged, ...options }: ErrorDetails = {},
  ) {
    super(message, options);
    this.retryAfterMs = retryAfterMs;
    this.reason = reason;
    this.agentId = agentId;
    this.logged = logged;
  }
}

const DATABASE_RETRY_MS = 1_000;

/** The agent, or its host, does not exist (any more). */
export function agentNotFound(agentId: string): IngestError {
  return new IngestError("agent_not_found", `agent ${agentId} does not exist, or was deleted`, { agentId });
}

/** The agent's status forbids the call. */
export function agentNotAllowed(agentId: string, status: string): IngestError {
  return new IngestError("agent_not_allowed", `agent ${agentId} is ${status}`, { agentId });
}

/** The database did not answer, or was away for too long. */
export function databaseUnavailable(cause?: unknown): IngestError {
  return new IngestError("database_unavailable", "the database does not answer at the moment; try again", {
    cause,
    retryAfterMs: DATABASE_RETRY_MS,
  });
}

/** A newer stream of the same agent took the place of this one. */
export function sessionDisplaced(): IngestError {
  return new IngestError("session_displaced", "a newer stream of this agent took the place of this one");
}

/** Nobody is let in with the agent's identity for now: two machines seem to have it. */
export function agentLocked(agentId: string): IngestError {
  return new IngestError(
    "agent_locked",
    `two machines seem to have the identity of agent ${agentId}, and neither is let in until an operator unlocks it`,
    { agentId },
  );
}
