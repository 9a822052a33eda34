import { availableParallelism } from "node:os";
import { z } from "zod";
import { LOG_LEVELS } from "../observe/logger.js";
import { limitVariables } from "./limits.js";
import {
  amqpUrls,
  cidrs,
  duration,
  listenAddress,
  origins,
  port,
  postgresUrl,
  trueOrFalse,
  wholeNumber,
} from "./settings.js";

/** Where the signing key is unless told otherwise. */
export const DEFAULT_JWT_KEY_FILE = "/var/lib/ct-ops/jwt_key.pem";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;
const LARGEST_LIMIT = 1_000_000;
const SMALLEST_POOL = 3;
const LARGEST_POOL = 1_000;
const MOST_WORKERS = 64;
const LONGEST_COMMIT_DELAY_MS = 1_000;
const LARGEST_QUEUE = 1_000_000_000;
const SMALLEST_OUTBOX = 1_000;
const LARGEST_OUTBOX = 100_000_000;

/** Every variable, in README's order, with its default. */
export const variables = z.object({
  DATABASE_URL: postgresUrl,
  INGEST_DATABASE_POOL_SIZE: wholeNumber(
    SMALLEST_POOL,
    LARGEST_POOL,
    `a number of connections from ${SMALLEST_POOL} to ${LARGEST_POOL}`,
  ).default(15),
  INGEST_WORKERS: wholeNumber(1, MOST_WORKERS, `a number of processes from 1 to ${MOST_WORKERS}`).default(() =>
    Math.min(availableParallelism(), MOST_WORKERS),
  ),
  INGEST_TLS_CERT: z.string({ error: "the path of a PEM certificate (chain)" }),
  INGEST_TLS_KEY: z.string({ error: "the path of that certificate's PEM key" }),
  INGEST_JWT_KEY_FILE: z.string().default(DEFAULT_JWT_KEY_FILE),
  INGEST_GRPC_PORT: port.default(9443),
  INGEST_HTTP_PORT: port.default(8080),
  INGEST_GRPC_ADDRESS: listenAddress.optional(),
  INGEST_HTTP_ADDRESS: listenAddress.optional(),
  ...limitVariables.shape,
  INGEST_PROXY_PROTOCOL: trueOrFalse.default("false").transform((value) => value === "true"),
  INGEST_TRUSTED_PROXIES: cidrs.optional(),
  INGEST_CORS_ORIGINS: origins.default([]),
  INGEST_REFLECTION: trueOrFalse.default("false").transform((value) => value === "true"),
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
  INGEST_DUPLICATE_IGNORE_CIDRS: cidrs.optional(),
  INGEST_ADOPT_AUTO_APPROVE: trueOrFalse.default("false").transform((value) => value === "true"),
  INGEST_ADDRESS_MATCH: z.enum(["remark", "strict"], { error: "remark or strict" }).default("remark"),
  INGEST_OFFLINE_GRACE: duration(0, MINUTE_MS, "a duration from 0s to 1m").default(5_000),
  INGEST_OFFLINE_AFTER: duration(1_000, DAY_MS, "a duration from 1s to 1d").default(MINUTE_MS),
  INGEST_CLONE_POLICY: z.enum(["warn", "lock"], { error: "warn or lock" }).default("warn"),
  INGEST_COMMIT_DELAY: wholeNumber(
    0,
    LONGEST_COMMIT_DELAY_MS,
    `a number of milliseconds up to ${LONGEST_COMMIT_DELAY_MS}`,
  ).default(100),
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
  INGEST_DRAIN_TIMEOUT: duration(1_000, HOUR_MS, "a duration from 1s to 1h").default(20_000),
  INGEST_DRAIN_RATE: wholeNumber(1, LARGEST_LIMIT, `a number of streams from 1 to ${LARGEST_LIMIT}`).default(200),
  INGEST_LOG_LEVEL: z.enum(LOG_LEVELS, { error: `one of ${LOG_LEVELS.join(", ")}` }).default("info"),
});

/** Those that concern the broker. */
export const brokerVariables = variables.pick({
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

/** The name of one. */
export type Variable = keyof Variables;

/** Secrets, which are taken as they are: the web app, which uses them too, does not trim them. */
export const SECRETS: ReadonlySet<string> = new Set(["LDAP_ENCRYPTION_KEY", "BETTER_AUTH_SECRET"]);
