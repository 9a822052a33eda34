/** How much of what is refused is told in full. */
const LIMITS = {
  /** Of one caller for one reason, of one caller, and of one address, in a period. */
  sameReason: 5,
  caller: 20,
  source: 200,
  /** Of all callers that are known to be agents, and of all others. */
  agents: 2_000,
  strangers: 1_000,
};
const PERIOD_MS = 60_000;
/** Sources that are told apart in a period. */
const MAX_SOURCES = 10_000;
const BUSIEST = 5;

/** Somebody who was refused. */
export interface RefusedCaller {
  /** The agent that credentials named which stood up so far. */
  agentId: string | undefined;
  /** The key that the caller proved to have. */
  publicKey: string | undefined;
  /** Its address, or its IPv6 network. */
  source: string;
}

/** What was refused in a period, beside what was told of each. */
export interface RefusalSummary {
  refused: number;
  /** Those that are in the log, and on record, only as part of this sum. */
  untold: number;
  periodMs: number;
  reasons: Record<string, number>;
  /** How many addresses it came from, at least. */
  sources: number;
  busiest: { source: string; refused: number }[];
}

/**
 * Decides which refusals are told in full, so that a flood costs neither the log nor the record more than a bounded
 * place, and is in nobody's way: each caller has a share, each address, all that are known to be agents, and all others.
 * Once a period the rest is summed up.
 */
export class RefusalMeter {
  #period = emptyPeriod();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly options: { onSummary: (summary: RefusalSummary) => void; periodMs?: number | undefined },
  ) {}

  /** Counts a refusal, and says whether it is told in full. */
  admit({ agentId, publicKey, source }: RefusedCaller, reason: string): boolean {
    const period = this.#period;
    this.#timer ??= setTimeout(() => this.#sumUp(), this.#periodMs).unref();
    period.refused += 1;
    increment(period.reasons, reason);
    if (period.sources.has(source) || period.sources.size < MAX_SOURCES) increment(period.sources, source);
    const isStranger = agentId === undefined;
    const caller = isStranger ? `${source} ${publicKey ?? ""}` : agentId;
    // What is told is bounded, and so is what is remembered of it.
    const shares: [key: string, limit: number][] = [
      [`${caller} ${reason}`, LIMITS.sameReason],
      [caller, LIMITS.caller],
      // Behind a balancer all agents have one address.
      ...(isStranger ? [[`from ${source}`, LIMITS.source] satisfies [string, number]] : []),
      isStranger ? ["strangers", LIMITS.strangers] : ["agents", LIMITS.agents],
    ];
    const isTold = shares.every(([key, limit]) => (period.told.get(key) ?? 0) < limit);
    if (isTold) for (const [key] of shares) increment(period.told, key);
    else period.untold += 1;
    return isTold;
  }

  /** Sums up what was not told, and stops. */
  close(): void {
    this.#sumUp();
  }

  #sumUp(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { refused, untold, reasons, sources } = this.#period;
    this.#period = emptyPeriod();
    if (untold === 0) return;
    const busiest = [...sources]
      .sort(([, a], [, b]) => b - a)
      .slice(0, BUSIEST)
      .map(([source, refused]) => ({ source, refused }));
    this.options.onSummary({
      refused,
      untold,
      periodMs: this.#periodMs,
      reasons: Object.fromEntries(reasons),
      sources: sources.size,
      busiest,
    });
  }

  get #periodMs(): number {
    return this.options.periodMs ?? PERIOD_MS;
  }
}

function emptyPeriod() {
  return {
    refused: 0,
    untold: 0,
    reasons: new Map<string, number>(),
    sources: new Map<string, number>(),
    told: new Map<string, number>(),
  };
}

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
