import type { PublisherState } from "../broker/publisher.js";
import type { DroppedMessages, TopicBacklog } from "../store/outbox/backlog.js";

/** What stands in the database, of all instances. */
export interface StoredFigures {
  /** What waits for the broker. */
  backlog: readonly TopicBacklog[];
  /** What was set aside since no queue is bound for it. */
  unroutable: readonly TopicBacklog[];
  /** What was given up so far. */
  dropped: readonly DroppedMessages[];
}

/** How the queue of an instance stands. */
export interface QueueFigures extends PublisherState, StoredFigures {
  /** Messages confirmed in a second, between the last two reports. */
  confirmedPerSecond: number;
}
