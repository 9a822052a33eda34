export type { AgentStatusMessage } from "./agent-status-message.js";
export type { CheckMessage } from "./check-message.js";
export type { EventMessage, EventType } from "./event-message.js";
export type { Message } from "./message.js";
export type { MetricsMessage } from "./metrics-message.js";
export { MalformedMessageError, parseMessage, type UnknownMessage } from "./parse-message.js";
export { TOPICS, type Topic } from "./topics.js";
