import type { z } from "zod";
import type { AmqpAddress } from "../lib/formats/amqp-url.js";
import { namedVariables } from "./environment.js";
import { describeIssue, pairProblems } from "./problems.js";
import { brokerVariables } from "./variables.js";

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

/**
 * The broker that an environment names, if it does, whatever is wrong with other variables.
 *
 * @throws Error with every problem, one line each
 */
export function brokerIn(environment: Readonly<Record<string, string | undefined>>): BrokerConfig | undefined {
  const env = namedVariables(environment);
  const parsed = brokerVariables.safeParse(env);
  const problems = parsed.success ? [] : parsed.error.issues.map((issue) => describeIssue(issue, environment, env));
  problems.push(...brokerProblems(env));
  if (!parsed.success || problems.length > 0) throw new Error(problems.join("\n"));
  return toBroker(parsed.data);
}

/** The broker, if one is named. */
export function toBroker(v: z.infer<typeof brokerVariables>): BrokerConfig | undefined {
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

/** What is wrong with the variables of the broker taken together. */
export function brokerProblems(env: Record<string, string | undefined>): string[] {
  return pairProblems(env, "INGEST_AMQP_CERT", "INGEST_AMQP_KEY");
}
