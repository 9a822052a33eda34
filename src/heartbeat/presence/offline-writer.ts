import { recordStatusChanges } from "../../identity/status-changes.js";
import { Batcher, type BatchOutcome } from "../../lib/async/batcher.js";
import type { Outbox, Outgoing } from "../../outbox/outbox.js";
import type { Database } from "../../store/database.js";
import { lockHostsAndAgents } from "../../store/hosts/row-locks.js";
import { markSessionsOffline, type SessionEnd } from "../../store/sessions/session-ends.js";
import { SetWriter } from "../../store/sets/set-writer.js";
import type { Transaction } from "../../store/transaction.js";
import type { HeartbeatEvents } from "../events.js";

const MAX_BATCH_ROWS = 500;

/** An agent that is to be marked offline, and why. */
export interface Departure extends SessionEnd {
  /** For the history and the log. */
  reason: string;
}

/** Marks agents offline, in batches: a load balancer may drop thousands of streams at once. */
export class OfflineWriter {
  readonly #batcher: Batcher<Departure, Ended>;

  constructor(options: { database: Database; outbox: Outbox; events: HeartbeatEvents }) {
    const { database, outbox, events } = options;
    const writer = new SetWriter<Departure, Ended>({
      write: (departures) => outbox.transaction(database, (tx, outgoing) => writeBatch(tx, outgoing, departures)),
      onRetry: (retry) => events.writeRetried(retry),
      // While the database was away its agent may have tried to come back: whoever asked decides anew.
      retryForMs: 0,
    });
    this.#batcher = new Batcher({
      flush: async (departures) => {
        const outcomes = await writer.write(departures);
        departures.forEach(({ agentId, reason }, index) => {
          const outcome = outcomes[index];
          if (outcome === undefined || !("done" in outcome) || !outcome.done.wentOffline) return;
          events.statusChanged({ agentId, status: "offline", reason });
        });
        return outcomes;
      },
      maxItems: MAX_BATCH_ROWS,
    });
  }

  /**
   * Resolves when it is stored, also when another session is the agent's current one.
   *
   * @returns whether the agent went offline by it
   * @throws IngestError `database_unavailable`
   */
  async write(departure: Departure): Promise<boolean> {
    return (await this.#batcher.add(departure)).wentOffline;
  }
}

/** What a committed departure did. */
interface Ended {
  /** The agent was active before, and this was its current session. */
  wentOffline: boolean;
}

async function writeBatch(
  tx: Transaction,
  outgoing: Outgoing,
  departures: readonly Departure[],
): Promise<BatchOutcome<Ended>[]> {
  const found = await lockHostsAndAgents(tx, departures);
  const locked = departures.filter(({ agentId }) => found.get(agentId)?.state === "locked");
  const offline = new Set(await markSessionsOffline(tx, locked));
  // Of several of one agent it is the one of the newest session that counted.
  const changed = new Map<string, Departure>();
  for (const departure of locked) {
    const other = changed.get(departure.agentId);
    if (!offline.has(departure.agentId) || (other && other.epoch >= departure.epoch)) continue;
    changed.set(departure.agentId, departure);
  }
  await recordStatusChanges(
    tx,
    outgoing,
    [...changed.values()].map((departure) => ({ ...departure, from: "active", to: "offline" })),
  );
  return departures.map((departure) => {
    const agent = found.get(departure.agentId);
    // A newer session is none of its concern, and need not be waited for.
    if (agent?.state === "busy" && agent.epoch <= departure.epoch) return { busy: true };
    return { done: { wentOffline: changed.get(departure.agentId) === departure } };
  });
}
