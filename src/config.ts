import { z } from "zod";
import { type AmqpAddress, parseAmqpUrl } from "./lib/amqp-url.js";
import { parseCidr } from "./lib/cidr.js";
import { parseDurationMs } from "./lib/duration.js";
import { isServiceLink } from "./lib/kubernetes.js";
import { parsePostgresUrl } from "./lib/postgres-url.js";
import { LOG_LEVELS } from "./observe/logger.js";

/** Where the signing key is unless told otherwise. */
export const DEFAULT_JWT_KEY_FILE = "/var/lib/ct-ops/jwt_key.pem";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const YEAR_MS = 365 * DAY_MS;
const LARGEST_PORT = 65_535;
const LARGEST_LIMIT = 1_000_000;
const SMALLEST_POOL = 3;
const LARGEST_POOL = 1_000;
const LARGEST_STOP_TIMEOUT_S = 3_600;
const LARGEST_QUEUE = 1_000_000_000;
const SMALLEST_OUTBOX = 1_000;
const LARGEST_OUTBOX = 100_000_000;

/** Digits alone: what else JavaScript takes for a number (`1e3`, `0x10`) is more likely a mistake. */
function wholeNumber(min: number, max: number, expected: string) {
  return z
    .string()
    .regex(/^\d+$/, { error: expected })
    .transform(Number)
    .pipe(z.number({ error: expected }).min(min, { error: expected }).max(max, { error: expected }));
}

/** A duration as commands take them too; what is read is in milliseconds. */
function duration(minMs: number, maxMs: number, expected: string) {
  return z
    .string()
    .transform((text) => parseDurationMs(text) ?? Number.NaN)
    .pipe(z.number({ error: expected }).min(minMs, { error: expected }).max(maxMs, { error: expected }));
}

const port = wholeNumber(0, LARGEST_PORT, `a port number from 0 to ${LARGEST_PORT} (0 = a free one)`);

const postgresUrl = z.string({ error: "a postgres:// URL" }).superRefine((text, context) => {
  const result = parsePostgresUrl(text);
  for (const problem of "problems" in result ? result.problems : []) context.addIssue(problem);
});

/** Nodes of one broker, separated by commas. */
const amqpUrls = z.string().transform((text, context) =>
  text.split(",").flatMap((url): AmqpAddress[] => {
    try {
      return [parseAmqpUrl(url.trim())];
    } catch (error) {
      context.addIssue({ code: "custom", message: (error as Error).message });
      return [];
    }
  }),
);

const trueOrFalse = z.enum(["true", "false"], { error: "true or false" });

const variables = z.object({
  DATABASE_URL: postgresUrl,
  INGEST_DATABASE_POOL_SIZE: wholeNumber(
    SMALLEST_POOL,
    LARGEST_POOL,
    `a number of connections from ${SMALLEST_POOL} to ${LARGEST_POOL}`,
  ).default(15),
  INGEST_TLS_CERT: z.string({ error: "the path of a PEM certificate (chain)" }),
  INGEST_TLS_KEY: z.string({ error: "the path of that certificate's PEM key" }),
  INGEST_JWT_KEY_FILE: z.string().default(DEFAULT_JWT_KEY_FILE),
  INGEST_GRPC_PORT: port.default(9443),
  INGEST_HTTP_PORT: port.default(8080),
  INGEST_AGENT_DOWNLOAD_BASE_URL: z
    .url({ protocol: /^https?$/, error: "an http:// or https:// URL" })
    .default("http://localhost:3000"),
  INGEST_AGENT_CA_CERT: z.string().optional(),
  INGEST_AGENT_CA_KEY: z.string().optional(),
  INGEST_REGISTER_REFUSALS_PER_MINUTE: wholeNumber(
    0,
    LARGEST_LIMIT,
    `a whole number up to ${LARGEST_LIMIT} (0 = no limit)`,
  ).default(60),
  INGEST_DUPLICATE_IGNORE_CIDRS: z
    .string()
    .transform((list) => list.split(",").map((range) => range.trim()))
    .refine((ranges) => ranges.every((range) => parseCidr(range) !== undefined), {
      error: "ranges in CIDR notation, separated by commas",
    })
    .optional(),
  INGEST_ADOPT_AUTO_APPROVE: trueOrFalse.default("false").transform((value) => value === "true"),
  INGEST_WORK_MAX_AGE: duration(MINUTE_MS, YEAR_MS, "a duration from 1m to 365d").default(DAY_MS),
  INGEST_LATEST_AGENT_VERSION: z.string().optional(),
  INGEST_RELEASE_MANIFEST_PATH: z.string().optional(),
  INGEST_UPDATE_CONCURRENCY: wholeNumber(1, LARGEST_LIMIT, `a whole number from 1 to ${LARGEST_LIMIT}`).default(50),
  INGEST_WEB_SERVER_CERT: z.string().optional(),
  INGEST_ACCEPT_ID_WITHOUT_JWT: trueOrFalse.default("false").transform((value) => value === "true"),
  INGEST_AMQP_URL: amqpUrls.optional(),
  INGEST_AMQP_EXCHANGE: z
    .string()
    .regex(/^(?!amq\.)[\w.:-]{1,200}$/, {
      error: "up to 200 letters, digits and the characters - _ . : (not amq. in front)",
    })
    .default("ct-ops"),
  INGEST_AMQP_DECLARE: trueOrFalse.default("true").transform((value) => value === "true"),
  INGEST_AMQP_QUEUE_TYPE: z.enum(["quorum", "classic"], { error: "quorum or classic" }).optional(),
  INGEST_AMQP_QUEUE_MAX_LENGTH: wholeNumber(0, LARGEST_QUEUE, `a number of messages (0 = no limit)`).default(1_000_000),
  INGEST_AMQP_QUEUE_MAX_BYTES: wholeNumber(0, Number.MAX_SAFE_INTEGER, `a number of bytes (0 = no limit)`).default(0),
  INGEST_AMQP_CA: z.string().optional(),
  INGEST_AMQP_CERT: z.string().optional(),
  INGEST_AMQP_KEY: z.string().optional(),
  INGEST_OUTBOX_MAX_ROWS: wholeNumber(
    SMALLEST_OUTBOX,
    LARGEST_OUTBOX,
    `a number of rows from ${SMALLEST_OUTBOX} to ${LARGEST_OUTBOX}`,
  ).default(500_000),
  LDAP_ENCRYPTION_KEY: z.string().optional(),
  BETTER_AUTH_SECRET: z.string().optional(),
  INGEST_STOP_TIMEOUT_SECONDS: wholeNumber(
    1,
    LARGEST_STOP_TIMEOUT_S,
    `a number of seconds from 1 to ${LARGEST_STOP_TIMEOUT_S}`,
  ).default(20),
  INGEST_LOG_LEVEL: z.enum(LOG_LEVELS, { error: `one of ${LOG_LEVELS.join(", ")}` }).default("info"),
});

const brokerVariables = variables.pick({
  INGEST_AMQP_URL: true,
  INGEST_AMQP_EXCHANGE: true,
  INGEST_AMQP_DECLARE: true,
  INGEST_AMQP_QUEUE_TYPE: true,
  INGEST_AMQP_QUEUE_MAX_LENGTH: true,
  INGEST_AMQP_QUEUE_MAX_BYTES: true,
  INGEST_AMQP_CA: true,
  INGEST_AMQP_CERT: true,
  INGEST_AMQP_KEY: true,
});

/** The variables as they are read. */
export type Variables = z.infer<typeof variables>;

type Variable = keyof Variables;

/** Secrets, which are taken as they are: the web app, which uses them too, does not trim them. */
const SECRETS: ReadonlySet<string> = new Set(["LDAP_ENCRYPTION_KEY", "BETTER_AUTH_SECRET"]);

/** The configuration of `serve`; README.md documents each variable it is read from. */
export interface Config {
  databaseUrl: string;
  /** Most connections of the pools. */
  databasePoolSize: number;
  tls: { certFile: string; keyFile: string };
  jwtKeyFile: string;
  grpcPort: number;
  httpPort: number;
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
  };
  /** Where messages are published; undefined: nowhere. */
  broker?: BrokerConfig;
  /** Most rows of messages that wait for the broker. */
  outboxMaxRows: number;
  /** All that stopping may take, in milliseconds. */
  stopTimeoutMs: number;
  logLevel: z.infer<typeof variables>["INGEST_LOG_LEVEL"];
}

/** The broker that messages are published to. */
export interface BrokerConfig {
  /** Nodes of it. */
  addresses: readonly AmqpAddress[];
  tls: { caFile?: string; client?: { certFile: string; keyFile: string } };
  topology: {
    exchange: string;
    declare: boolean;
    queueType?: "quorum" | "classic";
    maxLength: number;
    maxBytes: number;
  };
}

/** A configuration, or every problem it has, one line each; and what looks like a mistake. */
export type ConfigResult = { warnings: string[] } & ({ config: Config } | { problems: string[] });

/** The names of the database's URL: the first one that is set counts. The earlier service knew both, too. */
const DATABASE_URL_NAMES = ["DATABASE_URL", "INGEST_DATABASE_URL"] as const;

/** The database that an environment names, if it does. */
export function databaseUrlIn(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const name = databaseUrlName(environment);
  return name && environment[name]?.trim();
}

/** The secret that the agent CA's key is encrypted with, if there is one; the web app looks in the same order. */
export function encryptionSecretIn(
  environment: Partial<Pick<Variables, "LDAP_ENCRYPTION_KEY" | "BETTER_AUTH_SECRET">>,
): string | undefined {
  return [environment.LDAP_ENCRYPTION_KEY, environment.BETTER_AUTH_SECRET].find(isSet);
}

/** The variable that {@link databaseUrlIn} takes it from. */
export function databaseUrlName(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  return DATABASE_URL_NAMES.find((name) => isSet(environment[name]));
}

/** White space alone is what a template leaves of a value that it does not know. */
function isSet(value: string | undefined): value is string {
  return value !== undefined && value.trim() !== "";
}

/** Reads the configuration from environment variables. An empty value counts as not set; spaces around it do not count. */
export function parseConfig(environment: Readonly<Record<string, string | undefined>>): ConfigResult {
  const env = namedVariables(environment);
  const warnings = [...unknownVariables(env), ...databaseUrlWarnings(environment), ...serviceLinkWarnings(environment)];

  const parsed = variables.safeParse(env);
  const problems = parsed.success ? [] : parsed.error.issues.map((issue) => describe(issue, environment, env));
  problems.push(...agentCaProblems(env), ...brokerProblems(env));
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
      },
      ...(broker && { broker }),
      outboxMaxRows: v.INGEST_OUTBOX_MAX_ROWS,
      stopTimeoutMs: v.INGEST_STOP_TIMEOUT_SECONDS * 1000,
      logLevel: v.INGEST_LOG_LEVEL,
    },
  };
}

/**
 * The broker that an environment names, if it does, whatever is wrong with other variables.
 *
 * @throws Error with every problem, one line each
 */
export function brokerIn(environment: Readonly<Record<string, string | undefined>>): BrokerConfig | undefined {
  const env = namedVariables(environment);
  const parsed = brokerVariables.safeParse(env);
  const problems = parsed.success ? [] : parsed.error.issues.map((issue) => describe(issue, environment, env));
  problems.push(...brokerProblems(env));
  if (!parsed.success || problems.length > 0) throw new Error(problems.join("\n"));
  return toBroker(parsed.data);
}

function toBroker(v: z.infer<typeof brokerVariables>): BrokerConfig | undefined {
  if (v.INGEST_AMQP_URL === undefined) return undefined;
  const { INGEST_AMQP_CA: caFile, INGEST_AMQP_CERT: certFile, INGEST_AMQP_KEY: keyFile } = v;
  return {
    addresses: v.INGEST_AMQP_URL,
    tls: {
      ...(caFile !== undefined && { caFile }),
      ...(certFile !== undefined && keyFile !== undefined && { client: { certFile, keyFile } }),
    },
    topology: {
      exchange: v.INGEST_AMQP_EXCHANGE,
      declare: v.INGEST_AMQP_DECLARE,
      ...(v.INGEST_AMQP_QUEUE_TYPE !== undefined && { queueType: v.INGEST_AMQP_QUEUE_TYPE }),
      maxLength: v.INGEST_AMQP_QUEUE_MAX_LENGTH,
      maxBytes: v.INGEST_AMQP_QUEUE_MAX_BYTES,
    },
  };
}

/** The variables that are valid by themselves, defaults included, whatever is wrong with the others. */
export function readValidVariables(environment: Readonly<Record<string, string | undefined>>): Partial<Variables> {
  const env = namedVariables(environment);
  const valid = Object.entries(variables.shape).flatMap(([name, schema]) => {
    const parsed = schema.safeParse(env[name]);
    return parsed.success && parsed.data !== undefined ? [[name, parsed.data]] : [];
  });
  return Object.fromEntries(valid);
}

/** The variables of this service that an environment sets, each under the one name it is known by here. */
export function settingsIn(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(namedVariables(environment)).filter(([name]) => name in variables.shape));
}

/** The variables that are set, each under the one name it is known by here. */
function namedVariables(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const others = Object.entries(environment).flatMap(([name, value]) =>
    isSet(value) && !isForeign(name, value) && !DATABASE_URL_NAMES.some((known) => known === name)
      ? [[name, SECRETS.has(name) ? value : value.trim()]]
      : [],
  );
  const databaseUrl = databaseUrlIn(environment);
  return { ...Object.fromEntries(others), ...(databaseUrl !== undefined && { DATABASE_URL: databaseUrl }) };
}

/** Kubernetes makes variables for a Service whose name begins with `ingest`, which look like ours. */
function isForeign(name: string, value: string): boolean {
  return name.startsWith("INGEST_") && isServiceLink(name, value);
}

function unknownVariables(env: Readonly<Record<string, string>>): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith("INGEST_") && !(name in variables.shape))
    .map((name) => `${name} is not a variable this service knows; it is ignored`);
}

function databaseUrlWarnings(environment: Readonly<Record<string, string | undefined>>): string[] {
  const { warnings } = parsePostgresUrl(databaseUrlIn(environment) ?? "");
  return warnings.map((warning) => `${databaseUrlName(environment)}: ${warning}`);
}

/** One hint for all: there are seven of them to a Service with one port. */
function serviceLinkWarnings(environment: Readonly<Record<string, string | undefined>>): string[] {
  const names = Object.entries(environment).flatMap(([name, value]) =>
    value !== undefined && isForeign(name, value) ? [name] : [],
  );
  const [first] = names;
  if (first === undefined) return [];
  return [
    `${first}${names.length > 1 ? ` and ${names.length - 1} more` : ""}: made by Kubernetes for a Service of that name, ` +
      "and ignored; `enableServiceLinks: false` in the pod's spec leaves them out",
  ];
}

function describe(
  issue: z.core.$ZodIssue,
  environment: Readonly<Record<string, string | undefined>>,
  env: Readonly<Record<string, string>>,
): string {
  const name = String(issue.path[0]) as Variable;
  const value = env[name];
  if (value === undefined) return `${name} is not set; expected ${issue.message}`;
  // What is wrong with the URL is named, and the URL not shown: it may hold a password.
  if (name === "DATABASE_URL") return `${databaseUrlName(environment)} is not valid: ${issue.message}`;
  if (name === "INGEST_AMQP_URL") return `${name} is not valid: ${issue.message}`;
  return `${name}=${value} is not valid; expected ${issue.message}`;
}

/** Of a certificate and its key either both are set or neither. */
function pairProblems(env: Record<string, string | undefined>, one: Variable, other: Variable): string[] {
  if ((env[one] === undefined) === (env[other] === undefined)) return [];
  const [set, unset] = env[one] === undefined ? [other, one] : [one, other];
  return [`${unset} is not set; expected both or neither, since ${set} is`];
}

function brokerProblems(env: Record<string, string | undefined>): string[] {
  return pairProblems(env, "INGEST_AMQP_CERT", "INGEST_AMQP_KEY");
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
