import { IngestError } from "../../errors.js";
import { addressSource } from "../../lib/formats/address-source.js";

const WINDOW_MS = 60_000;
/** Addresses and sites that are remembered, of each kind; the oldest are forgotten. */
const MAX_SOURCES = 10_000;
/** A site has many machines, so it is refused more often than one of them before it is not heard. */
const SITE_FACTOR = 10;
/** Attempts that wait, of one address and of all. */
const WAITING_RETRY_MS = 2_000;
const MAX_WAITING = 1_000;
const MAX_WAITING_IN_ALL = 5_000;

interface Source {
  refusals: number;
  /** When what was refused is forgotten. */
  endsAt: number;
  underWay: number;
  /** Attempts that go on once it is known what became of those under way. */
  waiting: Set<() => void>;
}

/** What a {@link RefusalLimiter} is asked for. */
export interface Attempt<T> {
  /** Where it comes from. */
  address: string;
  /** Aborted when nobody waits for the attempt any more. */
  signal: AbortSignal;
  work: () => Promise<T>;
  /** Whether what the work failed with counts. */
  isRefusal: (error: unknown) => boolean;
}

/**
 * Bounds the refused attempts of an address (of an IPv6 network) in a minute from the first one. An attempt counts only
 * once it is refused, so those that succeed are never in each other's way; and since one that is under way may yet be
 * refused, no more are under way at once than may still be refused: the bound is exact, and further ones wait.
 *
 * An IPv6 site (/48) is bounded as well, ten times as high. Each instance counts for itself.
 */
export class RefusalLimiter {
  readonly #sources = new Map<string, Source>();
  readonly #sites = new Map<string, Source>();
  #waiting = 0;

  /** @param options.perMinute 0 for no bound */
  constructor(private readonly options: { perMinute: number; now?: () => number }) {}

  /**
   * Makes an attempt.
   *
   * @throws IngestError `too_many_refusals`; whatever the attempt fails with; the reason of the signal while it waits
   */
  async attempt<T>({ address, signal, work, isRefusal }: Attempt<T>): Promise<T> {
    const { perMinute } = this.options;
    if (perMinute === 0) return work();
    const { source: key, site: siteKey } = addressSource(address);
    const source = await this.#admit(key, siteKey, signal);
    let refused = false;
    try {
      return await work();
    } catch (error) {
      refused = isRefusal(error);
      throw error;
    } finally {
      if (refused && siteKey !== undefined) this.#count(this.#sites, siteKey, this.#find(this.#sites, siteKey));
      this.#settle(key, source, refused);
    }
  }

  async #admit(key: string, siteKey: string | undefined, signal: AbortSignal): Promise<Source> {
    const { perMinute } = this.options;
    for (;;) {
      const source = this.#find(this.#sources, key);
      try {
        signal.throwIfAborted();
        this.#requireHearing(source, perMinute, "address");
        const site = siteKey === undefined ? undefined : this.#sites.get(siteKey);
        if (site !== undefined) this.#requireHearing(site, perMinute * SITE_FACTOR, "network");
      } catch (error) {
        // It may have been told to go on: another one goes in its place.
        this.#resume(source);
        throw error;
      }
      if (source.refusals + source.underWay < perMinute) {
        source.underWay += 1;
        return source;
      }
      await this.#wait(source, signal);
    }
  }

  #requireHearing({ refusals, endsAt }: Source, limit: number, what: string): void {
    const waitMs = endsAt - this.#now();
    if (refusals < limit || waitMs <= 0) return;
    throw new IngestError(
      "too_many_refusals",
      `too many registrations from this ${what} were refused; try again in ${Math.ceil(waitMs / 1000)} s`,
      { retryAfterMs: waitMs },
    );
  }

  async #wait({ waiting }: Source, signal: AbortSignal): Promise<void> {
    if (waiting.size >= MAX_WAITING || this.#waiting >= MAX_WAITING_IN_ALL) {
      throw new IngestError("too_many_refusals", "too many registrations wait at once; try again in a few seconds", {
        reason: "too_many_waiting",
        retryAfterMs: WAITING_RETRY_MS,
      });
    }
    this.#waiting += 1;
    let resume = () => {};
    await new Promise<void>((resolve) => {
      resume = resolve;
      waiting.add(resume);
      signal.addEventListener("abort", resume, { once: true });
    });
    this.#waiting -= 1;
    waiting.delete(resume);
    signal.removeEventListener("abort", resume);
  }

  #find(sources: Map<string, Source>, key: string): Source {
    const found = sources.get(key);
    if (found !== undefined) {
      if (found.refusals > 0 && found.endsAt <= this.#now()) found.refusals = 0;
      return found;
    }
    const made: Source = { refusals: 0, endsAt: 0, underWay: 0, waiting: new Set() };
    sources.set(key, made);
    return made;
  }

  #settle(key: string, source: Source, refused: boolean): void {
    source.underWay -= 1;
    if (refused) this.#count(this.#sources, key, source);
    this.#resume(source);
    if (source.refusals === 0 && source.underWay === 0 && source.waiting.size === 0) this.#sources.delete(key);
  }

  #count(sources: Map<string, Source>, key: string, source: Source): void {
    if (source.refusals === 0 || source.endsAt <= this.#now()) {
      source.refusals = 0;
      source.endsAt = this.#now() + WINDOW_MS;
      // The order of the map is that in which the windows end.
      sources.delete(key);
      sources.set(key, source);
    }
    source.refusals += 1;
    this.#forget(sources);
  }

  /** Tells one to go on for the place that became free, and all that there will be none. */
  #resume({ refusals, waiting }: Source): void {
    for (const resume of waiting) {
      waiting.delete(resume);
      resume();
      if (refusals < this.options.perMinute) return;
    }
  }

  /**
   * Forgets windows that have ended, and the oldest ones when there are too many. Never a source that somebody waits
   * at: nobody else would tell them to go on.
   */
  #forget(sources: Map<string, Source>): void {
    for (const [key, { endsAt, underWay, waiting }] of sources) {
      const isOver = endsAt <= this.#now();
      if (!isOver && sources.size <= MAX_SOURCES) return;
      if (underWay === 0 && waiting.size === 0) sources.delete(key);
    }
  }

  #now(): number {
    return (this.options.now ?? performance.now.bind(performance))();
  }
}
