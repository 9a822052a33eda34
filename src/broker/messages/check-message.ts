import { z } from "zod";

/** `checks.raw`: one result of a check that is stored. */
export const checkMessageSchema = z.object({
  /** The id of its row in `check_results`. */
  message_id: z.string(),
  type: z.literal("check.result"),
  org_id: z.string(),
  host_id: z.string(),
  check_id: z.string(),
  /** As in `checks`: `port`, `process`, `http`, and so on. */
  check_type: z.string(),
  /** `pass`, `fail` or `error`. */
  status: z.string(),
  /** What the agent says of it, 64 KiB at most; JSON for some types. */
  output: z.string(),
  /** Milliseconds. */
  duration_ms: z.number(),
  /** When it ran, by the agent's clock, and not after `recorded_at`: RFC 3339, UTC, milliseconds. */
  ran_at: z.string(),
  /** When the service received it: RFC 3339, UTC, milliseconds. */
  recorded_at: z.string(),
});

/** The body of a message of the topic `checks.raw`. */
export type CheckMessage = z.infer<typeof checkMessageSchema>;
