import type { Topic } from "./messages/topics.js";
import type { OutgoingMessage } from "./publisher.js";

/** A body as it goes to the broker; one that was read back from the outbox may be anything. */
export function toOutgoingMessage(topic: Topic, body: Readonly<Record<string, unknown>>): OutgoingMessage {
  const happenedAt = Date.parse(String(body.recorded_at ?? body.at));
  return {
    id: String(body.message_id),
    type: typeof body.type === "string" ? body.type : topic,
    timestamp: Math.floor((Number.isNaN(happenedAt) ? Date.now() : happenedAt) / 1000),
    body: JSON.stringify(body),
  };
}

/** The bodies of messages as a row of the outbox has them: a JSON array. */
export function joinBodies(messages: readonly OutgoingMessage[]): string {
  return `[${messages.map(({ body }) => body).join(",")}]`;
}
