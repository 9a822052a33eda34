import type { EventMessage, EventType } from "../broker/messages/event-message.js";
import { createId } from "../lib/ids.js";
import type { Outgoing } from "./outbox.js";

/** What a business event says of itself; the rest is the same for all. */
export type EventBody<Type extends EventType> = Omit<EventMessage<Type>, "message_id" | "type" | "at">;

/** Publishes business events if the transaction commits: `events.raw`. */
export function publishEvents<Type extends EventType>(
  outgoing: Outgoing,
  type: Type,
  bodies: () => readonly EventBody<Type>[],
): void {
  outgoing.publish("events.raw", () => {
    const at = new Date().toISOString();
    return bodies().map((body) => ({ message_id: createId(), type, at, ...body }) as unknown as EventMessage);
  });
}
