import { IngestError } from "../../errors.js";
import { parseAddress } from "../../lib/cidr.js";

const WINDOW_MS = 60_000;
/** Addresses that are remembered; whoever has more of them than that is not kept out by counting refusals. */
const MAX_SOURCES = 10_000;
/** The hextets of an IPv6 address that name its network: a machine has all of that network's addresses to itself. */
const NETWORK_HEXTETS = 4;

interface Source {
  refusals: number;
  /** When what was refused is forgotten. */
  endsAt: number;
  underWay: number;
  /** Attempts that go on once it is known what became of those under way. */
  waiting: (() => void)[];
}

/**
 * Bounds the refused attempts of an address (of an IPv6 network) in a minute from the first one. An attempt counts only
 * once it is refused, so those that succeed are never in each other's way; and since one that is under way may yet be
 * refused, no more are under way at once than may still be refused: the bound is exact, and further ones wait.
 *
 * Each instance counts for itself.
 */
export class RefusalLimiter {
  readonly #sources = new Map<string, Source>();

  /** @param options.perMinute 0 for no bound */
  constructor(private readonly options: { perMinute: number; now?: () => number }) {}

  /**
   * Makes an attempt.
   *
   * @param isRefusal whether what the attempt failed with counts
   * @throws IngestError `too_many_refusals`, and whatever the attempt fails with
   */
  async attempt<T>(address: string, work: () => Promise<T>, isRefusal: (error: unknown) => boolean): Promise<T> {
    const { perMinute } = this.options;
    if (perMinute === 0) return work();
    const key = sourceOf(address);
    const source = await this.#admit(key);
    let refused = false;
    try {
      return await work();
    } catch (error) {
      refused = isRefusal(error);
      throw error;
    } finally {
      this.#settle(key, source, refused);
    }
  }

  async #admit(key: string): Promise<Source> {
    for (;;) {
      const source = this.#find(key);
      if (source.refusals >= this.options.perMinute) {
        const waitS = Math.ceil((source.endsAt - this.#now()) / 1000);
        throw new IngestError(
          "too_many_refusals",
          `too many registrations from this address were refused; try again in ${waitS} s`,
        );
      }
      if (source.refusals + source.underWay < this.options.perMinute) {
        source.underWay += 1;
        return source;
      }
      await new Promise<void>((resolve) => source.waiting.push(resolve));
    }
  }

  #find(key: string): Source {
    const found = this.#sources.get(key);
    if (found !== undefined && (found.refusals === 0 || found.endsAt > this.#now())) return found;
    if (found !== undefined) {
      found.refusals = 0;
      return found;
    }
    const made: Source = { refusals: 0, endsAt: 0, underWay: 0, waiting: [] };
    this.#sources.set(key, made);
    return made;
  }

  #settle(key: string, source: Source, refused: boolean): void {
    source.underWay -= 1;
    if (refused) {
      if (source.refusals === 0 || source.endsAt <= this.#now()) {
        source.refusals = 0;
        source.endsAt = this.#now() + WINDOW_MS;
        // The order of the map is that in which the windows end.
        this.#sources.delete(key);
        this.#sources.set(key, source);
      }
      source.refusals += 1;
    } else if (source.refusals === 0 && source.underWay === 0 && source.waiting.length === 0) {
      this.#sources.delete(key);
    }
    // One for the place that became free; all of them to hear that there will be none.
    const resumed = source.refusals < this.options.perMinute ? 1 : source.waiting.length;
    for (const resume of source.waiting.splice(0, resumed)) resume();
    // Only a refusal leaves anything to be forgotten later.
    if (refused) this.#forget();
  }

  /**
   * Forgets windows that have ended, and the oldest ones when there are too many. Never a source that somebody waits
   * at: nobody else would tell them to go on.
   */
  #forget(): void {
    for (const [key, { endsAt, underWay, waiting }] of this.#sources) {
      const isOver = endsAt <= this.#now();
      if (!isOver && this.#sources.size <= MAX_SOURCES) return;
      if (underWay === 0 && waiting.length === 0) this.#sources.delete(key);
    }
  }

  #now(): number {
    return (this.options.now ?? performance.now.bind(performance))();
  }
}

/** IPv4 addresses count each; of IPv6, networks (/64) do. */
function sourceOf(address: string): string {
  const parsed = parseAddress(address);
  if (parsed?.kind() !== "ipv6") return address;
  return parsed.toNormalizedString().split(":").slice(0, NETWORK_HEXTETS).join(":");
}
