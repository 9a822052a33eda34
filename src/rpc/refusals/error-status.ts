import { Code, ConnectError } from "@connectrpc/connect";
import { IngestError, type IngestErrorCode } from "../../errors.js";
import { detailsOf } from "./error-details.js";

/**
 * What an agent is told. NOT_FOUND, PERMISSION_DENIED and UNAUTHENTICATED make an installed agent throw its identity
 * away and register again: they are only for what is wrong with that identity, never for anything that passes.
 */
export const STATUS: Record<IngestErrorCode, Code> = {
  invalid_field: Code.InvalidArgument,
  enrolment_token_unusable: Code.Unauthenticated,
  key_of_other_organisation: Code.FailedPrecondition,
  host_exists: Code.AlreadyExists,
  too_many_refusals: Code.ResourceExhausted,
  too_many_calls: Code.ResourceExhausted,
  client_certificate_invalid: Code.Unauthenticated,
  certificate_outdated: Code.Unauthenticated,
  access_token_invalid: Code.Unauthenticated,
  identity_mismatch: Code.Unauthenticated,
  agent_not_found: Code.NotFound,
  agent_not_allowed: Code.PermissionDenied,
  // Not one of the three that cost an identity: its machine is to keep it.
  agent_locked: Code.FailedPrecondition,
  // Only an upload is told so: it costs no identity there.
  task_not_found: Code.NotFound,
  too_much: Code.ResourceExhausted,
  deadline: Code.DeadlineExceeded,
  session_displaced: Code.Aborted,
  draining: Code.Unavailable,
  not_storable: Code.InvalidArgument,
  database_unavailable: Code.Unavailable,
  platform_tables_missing: Code.Internal,
  database_newer: Code.Internal,
  unusable_configuration: Code.Internal,
  operation_refused: Code.FailedPrecondition,
};

/**
 * The statuses of what the domain has no code for: what cannot be read, is not there, too large, too slow or too much at
 * once, and bugs. Their reason is the status itself.
 */
export const PLAIN_STATUS = [
  Code.InvalidArgument,
  Code.NotFound,
  Code.ResourceExhausted,
  Code.DeadlineExceeded,
  Code.Unavailable,
  Code.Unimplemented,
  Code.Internal,
] as const;
/** What there is no room for now finds some in a moment. */
const UNAVAILABLE_RETRY_MS = 1_000;

/** The reason of what is refused without a code of the domain. */
export function reasonOf(status: Code): string {
  return (Code[status] ?? "unknown").replace(/(?<!^)[A-Z]/g, "_$&").toLowerCase();
}

/** Gives the details that every error has to one that has none. */
export function withDetails(error: ConnectError): ConnectError {
  if (error.details.length > 0) return error;
  const retryAfterMs = error.code === Code.Unavailable ? UNAVAILABLE_RETRY_MS : undefined;
  error.details = detailsOf({ code: reasonOf(error.code), message: error.rawMessage, retryAfterMs });
  return error;
}

/** gRPC sends it as a header, percent-encoded; many clients take no more than 8 KiB of headers in all. */
const MAX_ENCODED_LENGTH = 4_096;

/** The beginning of a message, as long as it can be sent: it may name what the caller sent. */
export function cutForHeader(message: string): string {
  const text = message.slice(0, MAX_ENCODED_LENGTH).toWellFormed();
  if (encodeURIComponent(text).length <= MAX_ENCODED_LENGTH) return text;
  // What takes most is three bytes, each written with three characters.
  return `${text.slice(0, MAX_ENCODED_LENGTH / 9 - 2).toWellFormed()} …`;
}

/** Turns what a handler failed with into what the caller is told; undefined for a bug, whose cause is for the log. */
export function toConnectError(error: unknown): ConnectError | undefined {
  if (error instanceof ConnectError) return withDetails(error);
  if (error instanceof IngestError) {
    const told = new ConnectError(cutForHeader(error.message), STATUS[error.code]);
    told.details = detailsOf(error);
    return told;
  }
  return undefined;
}

/** What answers for the caller's own doing, unlike a failure or a stream that ends for another reason. */
const REFUSALS: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.NotFound,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.ResourceExhausted,
]);

/** Whether a caller that is told this was refused for what it sent, or for who it is. */
export function isRefusal({ code }: ConnectError): boolean {
  return REFUSALS.has(code);
}
