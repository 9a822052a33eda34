import { type Channel, type ChannelModel, type ConsumeMessage, connect } from "amqplib";
import type { Test } from "tap";
import { TOPICS, type Topic } from "../../../dist/broker/messages/index.js";
import { queueNameOf } from "../../../dist/broker/rabbitmq/topology.js";
import { eventually } from "../eventually.js";

/** A connection of the test's own to a broker. */
export interface TestConsumer {
  channel: Channel;
  /** Whatever came through the queue of a topic, in its order. */
  received(topic: Topic): ConsumeMessage[];
  /** Begins to consume all topics. */
  consumeAll(): Promise<void>;
  /** How many messages wait in the queue of a topic. */
  count(topic: Topic): Promise<number>;
  /** Closes the connection. */
  close(): Promise<void>;
}

/** Connects to a broker; what stands there of the exchange is deleted when the test ends. */
export async function openTestConsumer(t: Test, url: string, exchange: string): Promise<TestConsumer> {
  // A broker that has just started refuses for a moment.
  const connection = await eventually(
    () => connect(url).catch(() => undefined),
    (opened): opened is ChannelModel => opened !== undefined,
  );
  if (connection === undefined) throw new Error("not connected");
  connection.on("error", () => {});
  let isClosed = false;
  connection.on("close", () => {
    isClosed = true;
  });
  const channel = await connection.createChannel();
  channel.on("error", () => {});
  const received = new Map<string, ConsumeMessage[]>(TOPICS.map((topic) => [topic, []]));
  t.teardown(async () => {
    if (isClosed) return;
    for (const topic of TOPICS) await channel.deleteQueue(queueNameOf(exchange, topic)).catch(() => {});
    await channel.deleteExchange(exchange).catch(() => {});
    await connection.close().catch(() => {});
  });
  return {
    channel,
    received: (topic) => received.get(topic) ?? [],
    consumeAll: async () => {
      for (const topic of TOPICS) {
        await channel.consume(queueNameOf(exchange, topic), (message) => {
          if (message === null) return;
          received.get(topic)?.push(message);
          channel.ack(message);
        });
      }
    },
    count: async (topic) => (await channel.checkQueue(queueNameOf(exchange, topic))).messageCount,
    close: () => connection.close(),
  };
}
