// Prints what the service publishes, each message once:
//   node consumer.js amqp://user:password@host ct-ops.metrics.raw ct-ops.agent.status
import { type ConsumeMessage, connect } from "amqplib";
import { MalformedMessageError, parseMessage } from "ct-ops-ingest/messages";

/** A message is repeated soon or, after an outage, within hours: remember as many as that may be. */
const REMEMBERED_IDS = 100_000;
const [url = "amqp://localhost", ...queues] = process.argv.slice(2);
const seen = new Set<string>();

const connection = await connect(url);
process.once("SIGTERM", () => connection.close());
process.once("SIGINT", () => connection.close());
const channel = await connection.createChannel();
// What is not acknowledged is delivered again: so many at a time.
await channel.prefetch(100);
for (const queue of queues) {
  await channel.consume(queue, (delivery) => {
    if (delivery === null) throw new Error(`queue ${queue} was deleted`);
    const id: string = delivery.properties.messageId;
    if (!seen.has(id)) take(delivery);
    seen.add(id);
    const [oldest] = seen;
    if (oldest !== undefined && seen.size > REMEMBERED_IDS) seen.delete(oldest);
    channel.ack(delivery);
  });
}

function take({ fields, content }: ConsumeMessage): void {
  try {
    const message = parseMessage(fields.routingKey, content);
    if (message.topic === "metrics.raw") console.log(message.body.agent_id, "cpu", message.body.cpu);
    else console.log(message.topic, JSON.stringify(message.body));
  } catch (error) {
    if (!(error instanceof MalformedMessageError)) throw error;
    console.error(error.message);
  }
}
