import type { PublishOutcome } from "../publisher.js";

/** Messages that were sent together and wait for their confirms. */
export class PublishBatch {
  /** When it was sent, or when the broker began to take messages again. */
  waitingSince = performance.now();
  readonly #outcomes: (PublishOutcome | undefined)[];
  #pending: number;

  /** @param onSettled told once, when every message has its outcome */
  constructor(
    size: number,
    private readonly onSettled: (outcomes: PublishOutcome[]) => void,
  ) {
    this.#outcomes = new Array(size).fill(undefined);
    this.#pending = size;
  }

  /** How many messages have no outcome yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Of several outcomes of one message the first one counts. */
  settle(index: number, outcome: PublishOutcome): void {
    if (this.#outcomes[index] !== undefined) return;
    this.#outcomes[index] = outcome;
    this.#pending -= 1;
    if (this.#pending === 0) this.onSettled(this.#outcomes as PublishOutcome[]);
  }

  /** Nobody will hear of those that have no outcome yet. */
  abandon(): void {
    this.#outcomes.forEach((_, index) => {
      this.settle(index, "lost");
    });
  }
}
