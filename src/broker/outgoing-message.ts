import type { Topic } from "./messages/topics.js";
import type { OutgoingMessage } from "./publisher.js";

/** AMQP has no room for more in the properties of a message. */
const MAX_PROPERTY_BYTES = 255;

/** A body as it goes to the broker. */
export function toOutgoingMessage(
  topic: Topic,
  body: Readonly<Record<string, unknown>> & { message_id: string },
): OutgoingMessage {
  const happenedAt = body.recorded_at ?? body.at;
  const timestampMs = typeof happenedAt === "string" ? Date.parse(happenedAt) : Number.NaN;
  return {
    id: body.message_id,
    type: isProperty(body.type) ? body.type : topic,
    timestamp: Math.max(0, Math.floor((Number.isNaN(timestampMs) ? Date.now() : timestampMs) / 1000)),
    body: JSON.stringify(body),
  };
}

/** A body that was read back from the outbox, and may be anything; undefined when it is no message. */
export function readOutgoingMessage(topic: Topic, body: unknown): OutgoingMessage | undefined {
  return hasId(body) ? toOutgoingMessage(topic, body) : undefined;
}

function hasId(body: unknown): body is { message_id: string } {
  return typeof body === "object" && body !== null && "message_id" in body && isProperty(body.message_id);
}

function isProperty(value: unknown): value is string {
  return typeof value === "string" && Buffer.byteLength(value) <= MAX_PROPERTY_BYTES;
}

/** The bodies of messages as a row of the outbox has them: a JSON array. */
export function joinBodies(messages: readonly Pick<OutgoingMessage, "body">[]): string {
  return `[${messages.map(({ body }) => body).join(",")}]`;
}
