import { z } from "zod";

/** `agent.status`: one change of an agent's status. */
export const agentStatusMessageSchema = z.object({
  /** The same when the message is repeated. */
  message_id: z.string(),
  agent_id: z.string(),
  /** Null for an agent that has no host. */
  host_id: z.string().nullable(),
  org_id: z.string(),
  /** `pending`, `active`, `offline` or `revoked`; null for an agent that is new. */
  from: z.string().nullable(),
  /** `pending`, `active`, `offline` or `revoked`; `deleted` for an agent that is gone for good. */
  to: z.string(),
  /** A short sentence for people, as in `agent_status_history`. */
  reason: z.string(),
  /** RFC 3339, UTC, milliseconds. */
  at: z.string(),
});

/** The body of a message of the topic `agent.status`. */
export type AgentStatusMessage = z.infer<typeof agentStatusMessageSchema>;
