import type { Topic } from "../../broker/messages/topics.js";
import { type BackoffOptions, backoffDelayMs } from "../../lib/async/backoff.js";

/**
 * Topics whose messages never overtake each other, whatever failed: what came of an agent last is what counts. Metrics
 * have a time of their own, and the newest ones are worth most, so after a failure they go past what is left over.
 */
const ORDERED: ReadonlySet<Topic> = new Set(["agent.status", "events.raw"]);
/** How long a topic rests whose messages the broker refuses. */
const PAUSE: BackoffOptions = { baseMs: 500, maxMs: 30_000 };

interface Lane {
  /** Rows that were left to the relay so far. */
  left: number;
  /** Rows that are being left by transactions under way. */
  leaving: number;
  /** What is left over has to go first. */
  isBehind: boolean;
  refusals: number;
  pausedUntil: number;
}

/** Why a row was not published at once: the broker is away, or takes no more at the moment. */
export type LeftBecause = "broker away" | "no room";

/** Where the messages of each topic go: straight to the broker, or behind those that were left over. */
export class Lanes {
  readonly #lanes = new Map<Topic, Lane>();

  /** Whether messages may go straight to the broker. */
  isFree(topic: Topic): boolean {
    const lane = this.#laneOf(topic);
    return !lane.isBehind && lane.leaving === 0 && !this.isPaused(topic);
  }

  /** Whether the broker refused messages of the topic a moment ago. */
  isPaused(topic: Topic): boolean {
    return performance.now() < this.#laneOf(topic).pausedUntil;
  }

  /** A row is being left to the relay. */
  beginLeaving(topic: Topic): void {
    this.#laneOf(topic).leaving += 1;
  }

  /** It is left, unless its transaction was rolled back: it goes before what comes, if the order counts. */
  endLeaving(topic: Topic, { committed, because }: { committed: boolean; because: LeftBecause }): void {
    const lane = this.#laneOf(topic);
    lane.leaving -= 1;
    if (!committed) return;
    lane.left += 1;
    if (because === "no room" || ORDERED.has(topic)) lane.isBehind = true;
  }

  /** How many rows were left so far: for {@link catchUp}, taken before it is looked for any. */
  mark(topic: Topic): number {
    return this.#laneOf(topic).left;
  }

  /** Nothing was found, so nothing is left over, unless something was left since the mark. */
  catchUp(topic: Topic, mark: number): void {
    const lane = this.#laneOf(topic);
    if (lane.left === mark && lane.leaving === 0) lane.isBehind = false;
  }

  /** The broker refuses messages of the topic: for a while nobody tries. */
  refuse(topic: Topic): void {
    const lane = this.#laneOf(topic);
    // Of many that are refused together the first one counts.
    if (this.isPaused(topic)) return;
    lane.refusals += 1;
    lane.pausedUntil = performance.now() + backoffDelayMs(lane.refusals, PAUSE);
  }

  /** The broker takes messages of the topic. */
  accept(topic: Topic): void {
    this.#laneOf(topic).refusals = 0;
  }

  #laneOf(topic: Topic): Lane {
    const found = this.#lanes.get(topic);
    if (found !== undefined) return found;
    const lane = { left: 0, leaving: 0, isBehind: false, refusals: 0, pausedUntil: 0 };
    this.#lanes.set(topic, lane);
    return lane;
  }
}
