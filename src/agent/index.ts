/**
 * The agent's side of the protocol: a key, an enrolment, a heartbeat stream, and the agent that holds them together.
 *
 * @packageDocumentation
 */
export { Agent, type AgentObserver, type AgentOptions } from "./agent.js";
export { type AgentKey, createAgentKey, loadAgentKey } from "./agent-key.js";
export type { ClientCredentials, ServiceAddress } from "./connection.js";
export {
  type HeartbeatStream,
  type HeartbeatStreamOptions,
  openHeartbeatStream,
  type Vitals,
} from "./heartbeat-stream.js";
export { type InstalledPackage, type Inventory, type SubmitInventoryOptions, submitInventory } from "./inventory.js";
export {
  type AgentDescription,
  type AgentIdentity,
  AgentRevokedError,
  enrol,
  type RegisterOptions,
  type RegisterResult,
  register,
} from "./register.js";
export { isRenewalDue, type RenewOptions, renewCertificate } from "./renew.js";
export type {
  Check,
  CheckOutcome,
  Query,
  QueryAnswer,
  Task,
  TaskOutcome,
  TaskRun,
  WorkHandlers,
} from "./work-handlers.js";
