import { setTimeout as delay } from "node:timers/promises";
import { joinBodies } from "../../broker/outgoing-message.js";
import type { OutgoingMessage } from "../../broker/publisher.js";
import { type BackoffOptions, backoffDelayMs } from "../../lib/async/backoff.js";
import { Batcher, type BatchOutcome } from "../../lib/async/batcher.js";
import { type Database, isTransient } from "../../store/database.js";
import { deleteOutboxRows, releaseOutboxRows, rewriteOutboxRow } from "../../store/outbox/outbox-rows.js";
import { setMessagesAside } from "../../store/outbox/unroutable-messages.js";
import type { MessageRow } from "../collected-messages.js";
import type { OutboxEvents } from "../events.js";

const MAX_BATCH_ROWS = 500;
const RETRY_BACKOFF: BackoffOptions = { baseMs: 100, maxMs: 5_000 };

/** What became of the messages of a row: those that are in neither list are confirmed. */
export interface Settlement {
  row: MessageRow;
  /** To be published again. */
  left: readonly OutgoingMessage[];
  /** To be set aside. */
  setAside: readonly Pick<OutgoingMessage, "body">[];
}

/**
 * Writes what became of rows, in batches: while one is written the next one fills. What cannot be written for a passing
 * reason is tried again for as long as it takes; it is never more than may be in flight.
 */
export class Settlements {
  readonly #batcher: Batcher<Settlement, void>;
  readonly #closing = new AbortController();

  constructor(private readonly options: { database: Database; events: OutboxEvents }) {
    this.#batcher = new Batcher({ flush: (settlements) => this.#flush(settlements), maxItems: MAX_BATCH_ROWS });
  }

  /** Resolves when it is written, or given up: then the row's lease ends, and its messages are repeated. */
  settle(settlement: Settlement): Promise<void> {
    return this.#batcher.add(settlement);
  }

  /** From now on each batch is tried once. */
  close(): void {
    this.#closing.abort();
  }

  async #flush(settlements: readonly Settlement[]): Promise<BatchOutcome<void>[]> {
    const { signal } = this.#closing;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#write(settlements);
        break;
      } catch (error) {
        this.options.events.settlementFailed({ rows: settlements.length, error });
        if (!isTransient(error) || signal.aborted) break;
        await delay(backoffDelayMs(attempt, RETRY_BACKOFF), undefined, { signal, ref: false }).catch(() => {});
      }
    }
    return settlements.map(() => ({ done: undefined }));
  }

  async #write(settlements: readonly Settlement[]): Promise<void> {
    const { database } = this.options;
    const isWhole = ({ row, left, setAside }: Settlement) =>
      setAside.length === 0 && left.length === row.messages.length;
    const isDone = ({ left, setAside }: Settlement) => left.length === 0 && setAside.length === 0;
    const idsOf = (those: (settlement: Settlement) => boolean) => settlements.filter(those).map(({ row }) => row.id);
    const done = idsOf(isDone);
    const whole = idsOf(isWhole);
    if (done.length > 0) await deleteOutboxRows(database.db, done);
    if (whole.length > 0) await releaseOutboxRows(database.db, whole);
    for (const settlement of settlements) {
      if (!isDone(settlement) && !isWhole(settlement)) await writePart(database, settlement);
    }
  }
}

async function writePart(database: Database, { row, left, setAside }: Settlement): Promise<void> {
  await database.transaction(async (tx) => {
    if (setAside.length > 0) {
      await setMessagesAside(tx, {
        topic: row.topic,
        messages: joinBodies(setAside),
        messageCount: setAside.length,
      });
    }
    if (left.length === 0) await deleteOutboxRows(tx, [row.id]);
    else await rewriteOutboxRow(tx, { id: row.id, messages: joinBodies(left), messageCount: left.length });
  });
}
