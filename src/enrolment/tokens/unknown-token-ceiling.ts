import { IngestError } from "../../errors.js";

/** Far more than machines whose token was revoked make, which try again every half minute at most. */
const MAX_PER_SECOND = 200;
const SECOND_MS = 1_000;
/** Long enough for the second to be over. */
const RETRY_MS = 2_000;
/** Tokens that were good lately, by their hashes: the oldest are forgotten. */
const MAX_REMEMBERED = 1_000;

/**
 * Bounds the unknown enrolment tokens of all addresses together, a second: whoever has many networks guesses no faster,
 * and costs the database no more. Tokens that this instance has seen to be good are heard all the same, and keys that are
 * known need none.
 */
export class UnknownTokenCeiling {
  readonly #good = new Set<string>();
  #unknown = 0;
  #endsAt = 0;

  constructor(private readonly options: { perSecond?: number; now?: () => number } = {}) {}

  /** @throws IngestError `too_many_refusals` when the token is not to be looked for now */
  requireHearing(tokenHash: string): void {
    const { perSecond = MAX_PER_SECOND } = this.options;
    if (this.#now() >= this.#endsAt || this.#unknown < perSecond || this.#good.has(tokenHash)) return;
    throw new IngestError("too_many_refusals", "too many enrolment tokens are unknown; try again in a few seconds", {
      reason: "too_many_unknown_tokens",
      retryAfterMs: RETRY_MS,
    });
  }

  /** Takes note of what a token was found to be. */
  count(tokenHash: string, isKnown: boolean): void {
    if (isKnown) {
      // The last one that is forgotten is the one that was seen last.
      this.#good.delete(tokenHash);
      this.#good.add(tokenHash);
      for (const oldest of this.#good) {
        if (this.#good.size <= MAX_REMEMBERED) return;
        this.#good.delete(oldest);
      }
      return;
    }
    if (this.#now() >= this.#endsAt) {
      this.#unknown = 0;
      this.#endsAt = this.#now() + SECOND_MS;
    }
    this.#unknown += 1;
  }

  #now(): number {
    return (this.options.now ?? performance.now.bind(performance))();
  }
}
