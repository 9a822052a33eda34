import type { AgentStatusMessage } from "./agent-status-message.js";
import type { CheckMessage } from "./check-message.js";
import type { EventMessage } from "./event-message.js";
import type { MetricsMessage } from "./metrics-message.js";
import type { Topic } from "./topics.js";

interface Bodies {
  "metrics.raw": MetricsMessage;
  "checks.raw": CheckMessage;
  "agent.status": AgentStatusMessage;
  "events.raw": EventMessage;
}

/** The body of a message of a topic. */
export type BodyOf<T extends Topic> = Bodies[T];

/** A message of this service, by its topic. */
export type Message = { [T in Topic]: { topic: T; body: BodyOf<T> } }[Topic];
