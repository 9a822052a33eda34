import { z } from "zod";

/** `metrics.raw`: one heartbeat that is stored. */
export const metricsMessageSchema = z.object({
  /** The id of its row in `host_metrics`. */
  message_id: z.string(),
  agent_id: z.string(),
  org_id: z.string(),
  host_id: z.string(),
  /** When the agent took it, by the agent's clock: Unix seconds. */
  timestamp: z.number(),
  /** When the service received it: RFC 3339, UTC, milliseconds. As in `host_metrics`. */
  recorded_at: z.string(),
  /** Per cent, 0 to 100; null when the agent sent no number. */
  cpu: z.number().nullable(),
  /** Per cent, 0 to 100; null when the agent sent no number. */
  memory: z.number().nullable(),
  /** Per cent, 0 to 100; null when the agent sent no number. */
  disk: z.number().nullable(),
  /** Seconds, 0 to 2,147,483,647. */
  uptime: z.number(),
  /** Empty when the agent does not say. */
  agent_version: z.string(),
  /** Empty when the agent does not say. */
  os_version: z.string(),
});

/** The body of a message of the topic `metrics.raw`. */
export type MetricsMessage = z.infer<typeof metricsMessageSchema>;
