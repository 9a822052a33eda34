import type { z } from "zod";
import { type Variable, variables } from "./variables.js";

/** What is said of a variable where there is no README. */
export interface VariableHelp {
  name: string;
  /** As it would be set; undefined when there is none. */
  default: string | undefined;
  isRequired: boolean;
  meaning: string;
}

/** Each meaning, in the order of the variables, with the default where that cannot be read from the variable. */
const MEANINGS: Readonly<Record<Variable, string | { meaning: string; default?: string; isDuration?: true }>> = {
  DATABASE_URL: "PostgreSQL, 14 or later, over a direct or session-pooled connection; or INGEST_DATABASE_URL",
  INGEST_DATABASE_POOL_SIZE: "most connections to PostgreSQL of one instance",
  INGEST_WORKERS: {
    meaning: "processes that serve agents, each an instance of its own",
    default: "the number of cores",
  },
  INGEST_TLS_CERT: "PEM file of the server certificate (chain)",
  INGEST_TLS_KEY: "PEM file of its key",
  INGEST_JWT_KEY_FILE: "PEM file of the RSA key that signs access tokens; written when it is missing",
  INGEST_GRPC_PORT: "port for agents, TLS; 0 takes a free one",
  INGEST_HTTP_PORT: "port of /healthz, /readyz, /metrics and /.well-known/jwks.json, plain HTTP; 0 takes a free one",
  INGEST_GRPC_ADDRESS: { meaning: "IP address of this machine that the port for agents is on", default: "all" },
  INGEST_HTTP_ADDRESS: { meaning: "IP address of this machine that the plain port is on", default: "all" },
  INGEST_MAX_CONNECTIONS: "connections of agents that are open at one time, of each worker",
  INGEST_MAX_CONNECTIONS_PER_ADDRESS: "of one address; 0 for no limit",
  INGEST_MAX_HANDSHAKES: "TLS handshakes at one time, of each worker; the others wait, addresses by turns",
  INGEST_MAX_STREAMS_PER_CONNECTION: "calls that are under way on one connection of HTTP/2",
  INGEST_MAX_RESETS_PER_SECOND: "calls of one connection that its client may give up in a second, over ten seconds",
  INGEST_MAX_HEADER_BYTES: "headers of one request, on both ports",
  INGEST_MAX_MESSAGE_BYTES: "one message of a stream; in JSON a quarter of it",
  INGEST_MAX_MESSAGE_FIELDS: "fields and values in one message of a stream",
  INGEST_MAX_REQUEST_BYTES: "one message of Register and RenewCertificate",
  INGEST_MAX_WAITING_BYTES: "messages of all streams that are being read or stored, of each worker",
  INGEST_HANDSHAKE_TIMEOUT: { meaning: "how long a TLS handshake may take", isDuration: true },
  INGEST_REQUEST_TIMEOUT: {
    meaning: "how long a connection may take to its first request, and to the headers of each in HTTP/1.1",
    isDuration: true,
  },
  INGEST_MESSAGE_TIMEOUT: {
    meaning: "how long the message of a call may take to arrive, and the first one of a stream",
    isDuration: true,
  },
  INGEST_IDLE_TIMEOUT: { meaning: "how long a connection of the agents' port may be without a call", isDuration: true },
  INGEST_HTTP_MAX_CONNECTIONS: "connections of the plain port that are open at one time",
  INGEST_PROXY_PROTOCOL: "true: connections from INGEST_TRUSTED_PROXIES begin with a PROXY header",
  INGEST_TRUSTED_PROXIES: { meaning: "addresses of your balancers, as ranges separated by commas", default: "none" },
  INGEST_CORS_ORIGINS: {
    meaning: "origins of pages whose scripts may call the service, separated by commas",
    default: "none",
  },
  INGEST_REFLECTION: "true: anybody may ask which methods there are (gRPC server reflection)",
  INGEST_AGENT_DOWNLOAD_BASE_URL: "public URL of the web app; agents fetch binaries under it",
  INGEST_AGENT_CA_CERT: "PEM file of an agent CA of your own; with INGEST_AGENT_CA_KEY",
  INGEST_AGENT_CA_KEY: "PEM file of its key",
  INGEST_REGISTER_REFUSALS_PER_MINUTE: "registrations of new keys that one address may have refused in a minute",
  INGEST_DUPLICATE_IGNORE_CIDRS: {
    meaning: "addresses that two machines may have in common, as ranges separated by commas",
    default: "those of container tools",
  },
  INGEST_ADOPT_AUTO_APPROVE: "true: a token that approves by itself also approves that a new key takes a host over",
  INGEST_ADDRESS_MATCH: "what an address in common with a host of another name means: remark or strict",
  INGEST_OFFLINE_GRACE: {
    meaning: "how long an agent whose connection broke may take to come back before it is shown offline",
    isDuration: true,
  },
  INGEST_OFFLINE_AFTER: { meaning: "how long an agent may say nothing before it is shown offline", isDuration: true },
  INGEST_CLONE_POLICY: "what becomes of two machines with one identity: warn, or lock both out",
  INGEST_COMMIT_DELAY: "milliseconds that a heartbeat may wait for others that are stored with it; 0 for none",
  INGEST_WORK_MAX_AGE: { meaning: "a task that waited longer for its host is closed and never sent", isDuration: true },
  INGEST_LATEST_AGENT_VERSION: "newest released version of the agent; agents that run another one are told",
  INGEST_RELEASE_MANIFEST_PATH: "JSON file whose key `agent` is that version, and counts instead",
  INGEST_UPDATE_CONCURRENCY: "agents that are told of a version at a time, over all instances",
  INGEST_WEB_SERVER_CERT: "PEM file of the web site's certificate, which agents pin for downloads",
  INGEST_ACCEPT_ID_WITHOUT_JWT: "true: agents before 0.30.2 are let in by their client certificate alone",
  INGEST_AMQP_URL: "the RabbitMQ broker to publish to; several nodes are separated by commas",
  INGEST_AMQP_EXCHANGE: "the topic exchange; the names of the queues begin with it",
  INGEST_AMQP_DECLARE: "false: exchange and queues are the operator's",
  INGEST_AMQP_QUEUE_TYPE: { meaning: "quorum or classic", default: "quorum where the broker has it" },
  INGEST_AMQP_QUEUE_MAX_LENGTH: "most messages in a queue; 0 for no limit",
  INGEST_AMQP_QUEUE_MAX_BYTES: "most bytes in a queue; 0 for no limit",
  INGEST_AMQP_CA: {
    meaning: "for amqps://, PEM file of the CA of the broker's certificate",
    default: "the system's CAs",
  },
  INGEST_AMQP_CERT: "for amqps://, PEM file of a client certificate",
  INGEST_AMQP_KEY: "PEM file of its key",
  INGEST_OUTBOX_MAX_ROWS: "most rows of messages that wait for the broker; past it the oldest are dropped",
  LDAP_ENCRYPTION_KEY: "encrypts the agent CA's key in the database; needed without an agent CA of your own",
  BETTER_AUTH_SECRET: "the same, where LDAP_ENCRYPTION_KEY is not set",
  INGEST_DRAIN_TIMEOUT: { meaning: "all that stopping may take", isDuration: true },
  INGEST_DRAIN_RATE: "streams that end in a second when the service stops",
  INGEST_LOG_LEVEL: "trace, debug, info, warn, error or silent",
};

/** What is said of each variable, in their order. */
export function variableHelp(): VariableHelp[] {
  return Object.entries(variables.shape).map(([name, schema]) => {
    const said = MEANINGS[name as Variable];
    const { meaning, default: told, isDuration } = typeof said === "string" ? { meaning: said } : said;
    const value = defaultOf(schema);
    const asSet = value === undefined ? undefined : isDuration ? formatDuration(Number(value)) : String(value);
    return { name, meaning, default: told ?? asSet, isRequired: !schema.safeParse(undefined).success };
  });
}

/** The default that a schema has, before what it reads is changed into something else. */
function defaultOf(schema: z.core.$ZodType): unknown {
  const def = schema._zod.def as { type: string; defaultValue?: unknown; in?: z.core.$ZodType };
  if (def.type === "default") return def.defaultValue;
  return def.in === undefined ? undefined : defaultOf(def.in);
}

function formatDuration(ms: number): string {
  const minutes = ms / 60_000;
  if (minutes >= 60 && minutes % 60 === 0) return `${minutes / 60}h`;
  return `${ms / 1000}s`;
}
