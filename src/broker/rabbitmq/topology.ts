import type { Channel, ChannelModel, ServerProperties } from "amqplib";
import { TOPICS } from "../messages/topics.js";

/** What the service publishes to, and whether it makes that itself. */
export interface TopologyOptions {
  exchange: string;
  /** Otherwise exchange and queues are the operator's, and it is only looked whether the exchange is there. */
  declare: boolean;
  /** Undefined: quorum where the broker has it. */
  queueType?: "quorum" | "classic";
  /** Most messages in a queue; 0 for no limit. A queue that is full refuses messages, it drops none. */
  maxLength: number;
  /** Most bytes in a queue; 0 for no limit. */
  maxBytes: number;
}

/** A queue that exists with other properties than it would be made with; it is used as it is. */
export interface DifferentQueue {
  queue: string;
  /** What the broker says. */
  reason: string;
}

const PRECONDITION_FAILED = 406;
const NOT_FOUND = 404;

/** The name of the queue that is made for a topic. */
export function queueNameOf(exchange: string, topic: string): string {
  return `${exchange}.${topic}`;
}

/**
 * Makes the durable topic exchange, and a durable queue for each topic that is bound to it, or looks whether the exchange
 * is there.
 *
 * @returns the queues that exist with other properties
 */
export async function prepareTopology(
  connection: ChannelModel,
  { exchange, declare, ...options }: TopologyOptions,
): Promise<DifferentQueue[]> {
  await onChannel(connection, async (channel) => {
    if (declare) await channel.assertExchange(exchange, "topic", { durable: true });
    else await channel.checkExchange(exchange);
  }).catch((cause) => {
    throw describeExchangeError(exchange, cause);
  });
  if (!declare) return [];
  const queueArguments = argumentsOf(options, connection.connection.serverProperties);
  const different: DifferentQueue[] = [];
  for (const topic of TOPICS) {
    const queue = queueNameOf(exchange, topic);
    // A refused declaration costs its channel, so each has one of its own.
    await onChannel(connection, (channel) =>
      channel.assertQueue(queue, { durable: true, arguments: queueArguments }),
    ).catch((error) => {
      if (error.code !== PRECONDITION_FAILED) throw error;
      different.push({ queue, reason: error.message });
    });
    await onChannel(connection, (channel) => channel.bindQueue(queue, exchange, topic));
  }
  return different;
}

/** Whether a broker has quorum queues: RabbitMQ from 3.8 on. */
export function hasQuorumQueues({ product, version }: Partial<ServerProperties>): boolean {
  const [major = 0, minor = 0] = (version ?? "").split(".").map(Number);
  return product === "RabbitMQ" && (major > 3 || (major === 3 && minor >= 8));
}

function argumentsOf(
  { queueType, maxLength, maxBytes }: Pick<TopologyOptions, "queueType" | "maxLength" | "maxBytes">,
  server: ServerProperties,
): Record<string, string | number> {
  return {
    "x-queue-type": queueType ?? (hasQuorumQueues(server) ? "quorum" : "classic"),
    ...(maxLength > 0 && { "x-max-length": maxLength }),
    ...(maxBytes > 0 && { "x-max-length-bytes": maxBytes }),
    // The default drops the oldest messages, of which nobody would know.
    ...((maxLength > 0 || maxBytes > 0) && { "x-overflow": "reject-publish" }),
  };
}

async function onChannel(connection: ChannelModel, work: (channel: Channel) => Promise<unknown>): Promise<void> {
  const channel = await connection.createChannel();
  // What the broker closes it for is what the call under way rejects with.
  channel.on("error", () => {});
  await work(channel);
  await channel.close();
}

function describeExchangeError(exchange: string, cause: Error & { code?: number }): Error {
  if (cause.code === PRECONDITION_FAILED) {
    return new Error(`exchange ${exchange} exists, but is no durable topic exchange: delete it, or use another one`, {
      cause,
    });
  }
  if (cause.code === NOT_FOUND) {
    return new Error(`exchange ${exchange} does not exist: declare it, or let the service do so`, { cause });
  }
  return cause;
}
