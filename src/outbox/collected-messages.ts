import type { BodyOf } from "../broker/messages/message.js";
import type { Topic } from "../broker/messages/topics.js";
import { joinBodies, toOutgoingMessage } from "../broker/outgoing-message.js";
import type { OutgoingMessage } from "../broker/publisher.js";
import { insertOutboxRows } from "../store/outbox/outbox-rows.js";
import type { Transaction } from "../store/transaction.js";
import type { Outgoing } from "./outbox.js";

/** Messages of one topic that are committed together. */
export interface MessageSet {
  topic: Topic;
  messages: OutgoingMessage[];
}

/** Of messages this long each counts as one more. */
const BYTES_PER_WEIGHT = 4_096;

/** What messages count as, where their number bounds the memory that they take: more than one each if they are long. */
export function weightOf(messages: readonly OutgoingMessage[]): number {
  return messages.reduce((sum, { body }) => sum + 1 + Math.floor(body.length / BYTES_PER_WEIGHT), 0);
}

/** A row of the outbox, with what it holds. */
export interface MessageRow extends MessageSet {
  id: number;
  /** What stands there beside messages, JSON. */
  unreadable?: readonly { body: string }[];
}

/** What a transaction publishes, by topic. */
export class CollectedMessages implements Outgoing {
  readonly #byTopic = new Map<Topic, OutgoingMessage[]>();

  publish<T extends Topic>(topic: T, bodies: () => readonly BodyOf<T>[]): void {
    const messages = bodies().map((body) => toOutgoingMessage(topic, body));
    const collected = this.#byTopic.get(topic);
    if (collected === undefined) this.#byTopic.set(topic, messages);
    else collected.push(...messages);
  }

  /** Each topic of which there is anything. */
  get sets(): MessageSet[] {
    return [...this.#byTopic]
      .map(([topic, messages]) => ({ topic, messages }))
      .filter(({ messages }) => messages.length > 0);
  }
}

/**
 * Writes messages into the transaction, a row for each topic.
 *
 * @param leaseMs for how long nobody else takes the rows of a topic; 0 when they are for anybody
 */
export async function writeMessages(
  tx: Transaction,
  sets: readonly MessageSet[],
  leaseMs: (set: MessageSet, index: number) => number,
): Promise<MessageRow[]> {
  if (sets.length === 0) return [];
  const ids = await insertOutboxRows(
    tx,
    sets.map((set, index) => ({
      topic: set.topic,
      messages: joinBodies(set.messages),
      messageCount: set.messages.length,
      leaseMs: leaseMs(set, index),
    })),
  );
  return sets.map((set, index) => ({ ...set, id: ids[index] as number }));
}
