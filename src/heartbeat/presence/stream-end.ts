import { IngestError, type IngestErrorCode } from "../../errors.js";
import type { StreamEnd } from "./departures.js";

/** How long agents may take, in milliseconds. */
export interface Patience {
  /** To come back after their connection broke. */
  graceMs: number;
  /** To say nothing, and to come back after the database was away. */
  offlineAfterMs: number;
}

/** What says that the agent may not come back as it is. */
const FINAL: readonly IngestErrorCode[] = [
  "agent_not_found",
  "agent_not_allowed",
  "agent_locked",
  "client_certificate_invalid",
  "identity_mismatch",
  "access_token_invalid",
];
const STREAM_ENDED = "heartbeat stream ended";

/** How a stream ended. */
export interface StreamOutcome {
  /** What it ended with; undefined when the agent ended its side in order. */
  error?: unknown;
  /** The agent took the call back, as a released agent does when it stops. */
  isCancelled: boolean;
}

/** Whether a newer session of the agent took its place while it was live. */
export function isDisplacement({ error }: StreamOutcome): boolean {
  return error instanceof IngestError && error.code === "session_displaced";
}

/**
 * What becomes of an agent whose stream ended so; undefined when nothing is to be written: a newer session of the agent
 * has taken its place, or it was told to come back to another instance, and who sweeps abandoned sessions sees whether it
 * did.
 */
export function streamEndOf({ error, isCancelled }: StreamOutcome, patience: Patience): StreamEnd | undefined {
  const { graceMs, offlineAfterMs } = patience;
  if (error === undefined) return { graceMs: 0, reason: STREAM_ENDED };
  if (error instanceof IngestError) {
    if (isDisplacement({ error, isCancelled }) || error.code === "draining") return undefined;
    if (FINAL.includes(error.code)) return { graceMs: 0, reason: STREAM_ENDED };
    if (error.code === "database_unavailable") return { graceMs: offlineAfterMs, reason: "it did not come back" };
    return { graceMs, reason: STREAM_ENDED };
  }
  return isCancelled ? { graceMs: 0, reason: STREAM_ENDED } : { graceMs, reason: "connection lost" };
}
