import type { Topic } from "./messages/topics.js";

/** A message as it goes to the broker. */
export interface OutgoingMessage {
  /** Stable over retries, so that consumers can drop repeats. */
  id: string;
  /** What kind of message it is. */
  type: string;
  /** When what it tells of happened, Unix seconds. */
  timestamp: number;
  /** JSON. */
  body: string;
}

/**
 * What became of a message. `confirmed`: the broker keeps it. `refused`: the broker does not take it at the moment, for
 * example since a queue is full. `unroutable`: no queue is bound for it, or it is longer than the broker takes. `lost`: the
 * connection broke first, so nobody knows.
 */
export type PublishOutcome = "confirmed" | "refused" | "unroutable" | "lost";

/** How it stands with the broker. */
export interface PublisherState {
  /** Where the broker is, without credentials. */
  broker: string;
  connected: boolean;
  /** Why the broker takes nothing although it is connected; undefined when it does. */
  blocked: string | undefined;
  /** Messages that wait for their confirm. */
  inFlight: number;
  /** Messages confirmed since the start. */
  confirmed: number;
  /** The newest failure, whatever came after it. */
  lastError: { message: string; at: Date } | undefined;
}

/** Publishes messages to a broker. */
export interface Publisher {
  readonly state: PublisherState;
  /** Whether it takes messages at the moment. */
  readonly isReady: boolean;
  /**
   * Publishes messages in their order, behind those of earlier calls.
   *
   * @returns the outcome of each; never rejects
   */
  publish(topic: Topic, messages: readonly OutgoingMessage[]): Promise<readonly PublishOutcome[]>;
  /** Waits a while for the confirms that are still to come, and closes. */
  close(): Promise<void>;
}
