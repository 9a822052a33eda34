import { isLoopbackOrigin } from "../lib/formats/origin.js";
import type { LogLevel } from "../observe/logger.js";
import { type BrokerConfig, brokerProblems, toBroker } from "./broker.js";
import { encryptionSecretIn, findWarnings, namedVariables } from "./environment.js";
import { type LimitsConfig, limitProblems, toLimits } from "./limits.js";
import { describeIssue, pairProblems } from "./problems.js";
import { proxyRule } from "./proxy-rule.js";
import { LOOPBACK_ORIGINS } from "./settings.js";
import { variables } from "./variables.js";

/** The configuration of `serve`; README.md documents each variable it is read from. */
export interface Config {
  databaseUrl: string;
  /** Most connections of the pools. */
  databasePoolSize: number;
  tls: { certFile: string; keyFile: string };
  jwtKeyFile: string;
  grpcPort: number;
  httpPort: number;
  /** The IP addresses to listen on; undefined: all. */
  grpcAddress?: string;
  httpAddress?: string;
  /** Whether connections from this address begin with a PROXY header. */
  isProxy: (address: string) => boolean;
  limits: LimitsConfig;
  /** Whether scripts of a page of this origin may call the service and read its answers. */
  isOriginAllowed: (origin: string) => boolean;
  /** Whether anybody may ask which methods there are. */
  hasReflection: boolean;
  /** How many processes serve agents. */
  workers: number;
  work: {
    /** How long a task may wait for its host, in milliseconds. */
    maxAgeMs: number;
    /** Agents that are told of a newer version at a time. */
    updateConcurrency: number;
    /** Public URL of the web app; agents fetch binaries under it. */
    downloadBaseUrl: string;
    /** The newest released version of the agent, and the file that overrides it. */
    release: { version?: string; manifestPath?: string };
    /** The web site's certificate, which agents pin for downloads. */
    webCertificateFile?: string;
  };
  /** Whether the first message of a stream may name the agent instead of carrying its JWT. */
  acceptIdWithoutJwt: boolean;
  agentCa: { files?: { certFile: string; keyFile: string }; encryptionSecret?: string };
  enrolment: {
    /** Refused registrations of one address in a minute; 0 for no limit. */
    refusalsPerMinute: number;
    /** Ranges whose addresses two machines may share; undefined for the service's own list. */
    duplicateIgnoreCidrs?: readonly string[];
    /** Whether a token that approves by itself also approves that a new key takes a host over. */
    adoptAutoApprove: boolean;
    /** What an address in common with a host of another name means: a remark for the operator, or as much as the name. */
    addressMatch: "remark" | "strict";
  };
  sessions: {
    /** How long an agent may take to come back after its connection broke, in milliseconds. */
    graceMs: number;
    /** How long an agent may say nothing, and how long agents have to come back, in milliseconds. */
    offlineAfterMs: number;
    /** What becomes of two machines that seem to have one identity: both go on, or neither. */
    clonePolicy: "warn" | "lock";
    /** How long a heartbeat may wait for others that are stored with it, in milliseconds. */
    commitDelayMs: number;
  };
  /** Where messages are published; undefined: nowhere. */
  broker?: BrokerConfig;
  /** Most rows of messages that wait for the broker. */
  outboxMaxRows: number;
  /** All that stopping may take, in milliseconds. */
  stopTimeoutMs: number;
  /** How many streams end in a second when it stops. */
  drainPerSecond: number;
  logLevel: LogLevel;
}

/** A configuration, or every problem it has, one line each; and what looks like a mistake. */
export type ConfigResult = { warnings: string[] } & ({ config: Config } | { problems: string[] });

/** Reads the configuration from environment variables. An empty value counts as not set; spaces around it do not count. */
export function parseConfig(environment: Readonly<Record<string, string | undefined>>): ConfigResult {
  const env = namedVariables(environment);
  const warnings = findWarnings(environment);

  const parsed = variables.safeParse(env);
  const problems = parsed.success ? [] : parsed.error.issues.map((issue) => describeIssue(issue, environment, env));
  problems.push(...agentCaProblems(env), ...brokerProblems(env), ...proxyProblems(env));
  if (parsed.success) problems.push(...limitProblems(parsed.data));
  if (!parsed.success || problems.length > 0) return { warnings, problems };

  const v = parsed.data;
  const encryptionSecret = encryptionSecretIn(v);
  const broker = toBroker(v);
  return {
    warnings,
    config: {
      databaseUrl: v.DATABASE_URL,
      databasePoolSize: v.INGEST_DATABASE_POOL_SIZE,
      tls: { certFile: v.INGEST_TLS_CERT, keyFile: v.INGEST_TLS_KEY },
      jwtKeyFile: v.INGEST_JWT_KEY_FILE,
      grpcPort: v.INGEST_GRPC_PORT,
      httpPort: v.INGEST_HTTP_PORT,
      ...(v.INGEST_GRPC_ADDRESS !== undefined && { grpcAddress: v.INGEST_GRPC_ADDRESS }),
      ...(v.INGEST_HTTP_ADDRESS !== undefined && { httpAddress: v.INGEST_HTTP_ADDRESS }),
      isProxy: proxyRule(v),
      limits: toLimits(v),
      isOriginAllowed: originRule(v.INGEST_CORS_ORIGINS),
      hasReflection: v.INGEST_REFLECTION,
      workers: v.INGEST_WORKERS,
      work: {
        maxAgeMs: v.INGEST_WORK_MAX_AGE,
        updateConcurrency: v.INGEST_UPDATE_CONCURRENCY,
        downloadBaseUrl: v.INGEST_AGENT_DOWNLOAD_BASE_URL,
        release: {
          ...(v.INGEST_LATEST_AGENT_VERSION !== undefined && { version: v.INGEST_LATEST_AGENT_VERSION }),
          ...(v.INGEST_RELEASE_MANIFEST_PATH !== undefined && { manifestPath: v.INGEST_RELEASE_MANIFEST_PATH }),
        },
        ...(v.INGEST_WEB_SERVER_CERT !== undefined && { webCertificateFile: v.INGEST_WEB_SERVER_CERT }),
      },
      acceptIdWithoutJwt: v.INGEST_ACCEPT_ID_WITHOUT_JWT,
      agentCa: {
        ...(v.INGEST_AGENT_CA_CERT !== undefined &&
          v.INGEST_AGENT_CA_KEY !== undefined && {
            files: { certFile: v.INGEST_AGENT_CA_CERT, keyFile: v.INGEST_AGENT_CA_KEY },
          }),
        ...(encryptionSecret !== undefined && { encryptionSecret }),
      },
      enrolment: {
        refusalsPerMinute: v.INGEST_REGISTER_REFUSALS_PER_MINUTE,
        ...(v.INGEST_DUPLICATE_IGNORE_CIDRS !== undefined && {
          duplicateIgnoreCidrs: v.INGEST_DUPLICATE_IGNORE_CIDRS,
        }),
        adoptAutoApprove: v.INGEST_ADOPT_AUTO_APPROVE,
        addressMatch: v.INGEST_ADDRESS_MATCH,
      },
      sessions: {
        graceMs: v.INGEST_OFFLINE_GRACE,
        offlineAfterMs: v.INGEST_OFFLINE_AFTER,
        clonePolicy: v.INGEST_CLONE_POLICY,
        commitDelayMs: v.INGEST_COMMIT_DELAY,
      },
      ...(broker && { broker }),
      outboxMaxRows: v.INGEST_OUTBOX_MAX_ROWS,
      stopTimeoutMs: v.INGEST_DRAIN_TIMEOUT,
      drainPerSecond: v.INGEST_DRAIN_RATE,
      logLevel: v.INGEST_LOG_LEVEL,
    },
  };
}

function proxyProblems(env: Record<string, string | undefined>): string[] {
  return env.INGEST_PROXY_PROTOCOL === "true" && env.INGEST_TRUSTED_PROXIES === undefined
    ? [
        "INGEST_TRUSTED_PROXIES is not set; expected the addresses of your balancers, since INGEST_PROXY_PROTOCOL is true",
      ]
    : [];
}

function originRule(allowed: readonly string[]): Config["isOriginAllowed"] {
  const takesLoopback = allowed.includes(LOOPBACK_ORIGINS);
  return (origin) => allowed.includes(origin) || (takesLoopback && isLoopbackOrigin(origin));
}

function agentCaProblems(env: Record<string, string | undefined>): string[] {
  const problems = pairProblems(env, "INGEST_AGENT_CA_CERT", "INGEST_AGENT_CA_KEY");
  if (problems.length > 0) return problems;
  if (env.INGEST_AGENT_CA_CERT === undefined && encryptionSecretIn(env) === undefined) {
    return [
      "LDAP_ENCRYPTION_KEY is not set; expected a secret there or in BETTER_AUTH_SECRET (it encrypts the agent CA's " +
        "key), or an agent CA of your own in INGEST_AGENT_CA_CERT and INGEST_AGENT_CA_KEY",
    ];
  }
  return [];
}
