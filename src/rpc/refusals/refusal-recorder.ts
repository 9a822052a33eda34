import { boundText } from "../../lib/formats/bounded-text.js";
import { createId } from "../../lib/ids.js";
import type { Logger } from "../../observe/logger.js";
import type { Queryable } from "../../store/database.js";
import { insertRefusals, type NewRefusal, pruneRefusals } from "../../store/enrolment/refusals.js";
import type { RefusedCaller } from "./refusal-meter.js";

/** Most that are written at a time, and that wait. */
const MAX_WAITING = 1_000;
const WRITE_INTERVAL_MS = 1_000;
const PRUNE_INTERVAL_MS = 60_000;
const MAX_TEXT_LENGTH = 512;

/** A call that was refused. */
export interface Refusal {
  method: string;
  /** One of few constant words. */
  reason: string;
  /** What the caller was told. */
  message: string;
  caller: RefusedCaller;
  /** Of the certificate that it presented, whoever issued that. */
  certificateSerial: string | undefined;
  /** Of the machine, as it says, once its key is proven. */
  hostname: string | undefined;
  remoteAddress: string;
}

/**
 * Keeps what was refused for the operator who asks. A caller never waits for it: once a second what has gathered is
 * written in one statement, the same refusal of the same caller once. What there is no room for, and what cannot be
 * written, is dropped, and the log says how many.
 */
export class RefusalRecorder {
  readonly #waiting = new Map<string, NewRefusal>();
  #dropped = 0;
  #writeTimer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  readonly #pruneTimer: NodeJS.Timeout;

  constructor(private readonly options: { db: Queryable; logger: Logger }) {
    this.#pruneTimer = setInterval(() => void this.#prune(), PRUNE_INTERVAL_MS);
    this.#pruneTimer.unref();
  }

  /** Takes a refusal; returns at once and never throws. */
  record(refusal: Refusal): void {
    // Under a flood nothing is computed for what is dropped.
    if (this.#waiting.size >= MAX_WAITING) {
      this.#dropped += 1;
      return;
    }
    const row = toRow(refusal);
    const { id: _, refusedAt: __, ...what } = row;
    this.#waiting.set(JSON.stringify(what), row);
    this.#writeTimer ??= setTimeout(() => void this.#startWriting(), WRITE_INTERVAL_MS).unref();
  }

  /** Writes what waits, and stops. */
  async close(): Promise<void> {
    clearInterval(this.#pruneTimer);
    await this.#startWriting();
  }

  /** One statement at a time: while the database is slow, what has no room is dropped. */
  #startWriting(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    clearTimeout(this.#writeTimer);
    this.#writeTimer = undefined;
    const { db, logger } = this.options;
    const rows = [...this.#waiting.values()];
    const dropped = this.#dropped;
    this.#waiting.clear();
    this.#dropped = 0;
    if (dropped > 0) logger.warn({ dropped, kept: rows.length }, "too many refusals at once: some are not recorded");
    if (rows.length === 0) return;
    try {
      await insertRefusals(db, rows);
    } catch (error) {
      logger.warn({ dropped: rows.length, err: error }, "refusals could not be recorded");
    }
  }

  async #prune(): Promise<void> {
    try {
      await pruneRefusals(this.options.db);
    } catch (error) {
      this.options.logger.warn({ err: error }, "old refusals could not be deleted");
    }
  }
}

function toRow({ method, reason, message, caller, certificateSerial, hostname, remoteAddress }: Refusal): NewRefusal {
  return {
    id: createId(),
    refusedAt: new Date(),
    method,
    reason,
    message: toStorable(message),
    agentId: caller.agentId === undefined ? null : toStorable(caller.agentId),
    publicKey: caller.publicKey ?? null,
    certificateSerial: certificateSerial ?? null,
    hostname: hostname ? toStorable(hostname) : null,
    remoteAddress,
    source: caller.source,
  };
}

/** What callers sent is not trusted to be storable. */
function toStorable(text: string): string {
  return boundText(text, MAX_TEXT_LENGTH);
}
