import type { RabbitMqPublisherOptions } from "../broker/rabbitmq/rabbitmq-publisher.js";
import type { CertificateMoverTiming } from "../heartbeat/certificate-mover.js";
import type { AgentCasTiming } from "../identity/agent-ca/agent-cas.js";
import type { SigningKeyRingTiming } from "../identity/signing-keys/signing-key-ring.js";
import type { QueueTiming } from "../outbox/queue.js";
import type { AdmissionTiming } from "../server/admission/admission.js";
import type { RequestTiming } from "../server/requests/request-timing.js";
import type { SessionLivenessTiming } from "../server/session-watch.js";
import type { ConnectionPolicy } from "../store/connection/connection-policy.js";
import type { DatabaseHealthTiming } from "../store/connection/health.js";
import type { WorkTiming } from "../work/open-work.js";
import type { AgentPace } from "./agent-pace.js";
import type { SessionsTiming } from "./opening/open-sessions.js";

/** How often the service looks at what may change while it runs; what is left out is as production needs it. */
export interface AppTiming {
  signingKeys?: Partial<SigningKeyRingTiming>;
  agentCa?: Partial<AgentCasTiming>;
  certificateMover?: Partial<CertificateMoverTiming>;
  sessions?: SessionsTiming;
  work?: WorkTiming;
  pace?: Partial<AgentPace>;
  databaseHealth?: Partial<DatabaseHealthTiming>;
  /** Of the connections of streams. */
  streamDatabase?: Partial<ConnectionPolicy>;
  /** Between two looks at the files of the server certificate. */
  serverCertificateMs?: number;
  /** Between two looks at the readiness for those who watch it over gRPC. */
  healthWatchMs?: number;
  /** Between two sums of what was refused. */
  refusalSummaryMs?: number;
  sessionLiveness?: Partial<SessionLivenessTiming>;
  /** How long a request may take to arrive, and the message of a unary call. */
  requests?: Partial<RequestTiming> & { messageMs?: number };
  admission?: Partial<AdmissionTiming>;
  publisher?: RabbitMqPublisherOptions["timing"];
  queue?: QueueTiming;
}
