import type { CheckDefinition } from "./dispatch/check-definitions.js";

/** What an agent is sent beside its acknowledgements. */
export type Push =
  /** Replaces all the checks that it runs. */
  | { kind: "checks"; checks: readonly CheckDefinition[] }
  | { kind: "queries"; queries: readonly { queryId: string; queryType: string }[] }
  | { kind: "task"; task: { taskId: string; taskType: string; configJson: string } }
  | { kind: "cancellations"; taskIds: readonly string[] }
  /** Makes it fetch that version, replace itself and start anew. */
  | { kind: "update"; latestVersion: string; downloadUrl: string }
  /** The certificate of the web site, which it trusts for downloads. */
  | { kind: "web certificate"; pem: string };

/**
 * Sends something to an agent; resolves with whether it was handed to the connection. It is not when the session has
 * ended, or has as much to send as it may hold.
 */
export type Send = (push: Push) => Promise<boolean>;
