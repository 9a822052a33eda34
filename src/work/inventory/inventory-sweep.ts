import { Refresher } from "../../lib/async/refresher.js";
import { createId } from "../../lib/ids.js";
import { tryLockInTransaction } from "../../store/advisory-locks.js";
import type { Database } from "../../store/database.js";
import {
  insertScanRuns,
  listHostsScannedLately,
  listScanCandidates,
  type ScanCandidate,
} from "../../store/work/inventory-sweep.js";
import type { WorkEvents } from "../events.js";

const INTERVAL_MS = 60_000;
const HOUR_MS = 60 * 60 * 1000;
const DEFAULT_INTERVAL_HOURS = 24;
/** A host whose scan has ended gets no other one for so long, however it ended: it could get one every minute. */
const BETWEEN_SCANS_MS = HOUR_MS;
/** Scans of one sweep: a fleet that is due all at once is spread over some minutes. */
const MAX_SCANS = 500;

/** What an {@link InventorySweep} needs. */
export interface InventorySweepOptions {
  database: Database;
  events: WorkEvents;
  /** 60 seconds unless told otherwise. */
  intervalMs?: number | undefined;
}

/**
 * Makes software scans for hosts that are online and due, where their organisation wants them. One instance does it at a
 * time, under a lock that the others do not wait for.
 */
export class InventorySweep {
  readonly #refresher: Refresher;

  constructor(private readonly options: InventorySweepOptions) {
    const { events, intervalMs = INTERVAL_MS } = options;
    this.#refresher = new Refresher({
      work: () => this.#sweep(),
      intervalMs,
      onError: (error) => events.failed({ what: "software scans that are due", error }),
    });
  }

  /** Sweeps at once; resolves when that has ended. */
  now(): Promise<void> {
    return this.#refresher.now();
  }

  stop(): Promise<void> {
    return this.#refresher.stop();
  }

  async #sweep(): Promise<void> {
    const { database, events } = this.options;
    const scans = await database.transaction(async (tx) => {
      if (!(await tryLockInTransaction(tx, "inventory-sweep"))) return 0;
      const now = Date.now();
      const candidates = (await listScanCandidates(tx)).filter((candidate) => isScanDue(candidate, now));
      if (candidates.length === 0) return 0;
      // Of those that are due, and not of all: each has a row for every scan it ever had.
      const lately = await listHostsScannedLately(tx, candidates, BETWEEN_SCANS_MS);
      const due = candidates.filter(({ hostId }) => !lately.has(hostId)).slice(0, MAX_SCANS);
      if (due.length === 0) return 0;
      await insertScanRuns(
        tx,
        due.map(({ hostId, organisationId }) => ({ hostId, organisationId, runId: createId(), taskId: createId() })),
      );
      return due.length;
    });
    if (scans > 0) events.scansStarted({ scans });
  }
}

/** A time that cannot be read counts as none: one host's damaged metadata must not stop the sweep for all. */
export function isScanDue({ lastScanAt, intervalHours }: ScanCandidate, now: number): boolean {
  const last = lastScanAt === null ? Number.NaN : Date.parse(lastScanAt);
  const hours = Number(intervalHours ?? DEFAULT_INTERVAL_HOURS);
  const intervalMs = (hours > 0 && Number.isFinite(hours) ? hours : DEFAULT_INTERVAL_HOURS) * HOUR_MS;
  // Also when the last scan lies in the future: a clock that was wrong must not stop the scans for years.
  return Number.isNaN(last) || last > now + HOUR_MS || now - last >= intervalMs;
}
