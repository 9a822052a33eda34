import { databaseUnavailable, IngestError } from "../../errors.js";
import { Batcher, type BatchOutcome } from "../../lib/async/batcher.js";
import type { Outgoing, PublishingDatabase } from "../../outbox/outbox.js";
import type { Database } from "../../store/database.js";
import { keepHosts } from "../../store/hosts/row-locks.js";
import { SetWriter } from "../../store/sets/set-writer.js";
import type { Transaction } from "../../store/transaction.js";
import { insertFailedScan, type ScanCounts, storeScan } from "../../store/work/inventory.js";
import { lockTasks } from "../../store/work/tasks/task-locks.js";
import { type FinishedTasks, finishTasks, lockRunsOf } from "../../store/work/tasks/task-results.js";
import type { WorkEvents } from "../events.js";
import { publishEnds, publishScan } from "../outgoing-work.js";
import type { InventoryUpload } from "./inventory-upload.js";

/** Longest wait for a host or a task that somebody keeps locked: the upload keeps its place among those that are read. */
const LOCK_TIMEOUT_MS = 15_000;

/** What an {@link InventoryWriter} needs. */
export interface InventoryWriterOptions extends PublishingDatabase {
  events: WorkEvents;
  /** 15 seconds unless told otherwise. */
  lockTimeoutMs?: number | undefined;
}

/** Stores what came of uploads, one after the other; one whose host or task somebody holds is tried again after others. */
export class InventoryWriter {
  readonly #batcher: Batcher<Waiting, StoredInventory>;

  constructor({ database, outbox, events, lockTimeoutMs = LOCK_TIMEOUT_MS }: InventoryWriterOptions) {
    const setWriter = new SetWriter<Waiting, StoredInventory>({
      write: async (items) => {
        if (await areLocked(database, items)) return items.map(() => ({ busy: true }));
        return outbox.transaction(database, (tx, outgoing) => writeOutcomes(tx, outgoing, items));
      },
      onRetry: ({ error }) => events.failed({ what: "a software inventory", error }),
    });
    this.#batcher = new Batcher({
      flush: async (items) =>
        (await setWriter.write(items)).map((result, index) =>
          "busy" in result && performance.now() - (items[index]?.since ?? 0) > lockTimeoutMs
            ? { failed: databaseUnavailable(new Error("somebody keeps the host or the task locked")) }
            : result,
        ),
      maxItems: 1,
    });
  }

  /** @throws IngestError `task_not_found`, `not_storable`, `database_unavailable` */
  write(outcome: InventoryOutcome): Promise<StoredInventory> {
    return this.#batcher.add({ ...outcome, since: performance.now() });
  }
}

/** What came of an upload. */
export type InventoryOutcome = { scan: Parameters<typeof storeScan>[1] } & (
  | { packages: InventoryUpload["packages"] }
  | { error: string }
);

/** What was stored of it. */
export interface StoredInventory {
  counts: ScanCounts | undefined;
  finished: FinishedTasks;
}

type Waiting = InventoryOutcome & { since: number };

/**
 * Whether somebody holds what is to end. It is looked at beforehand, since a run is locked as late as possible: others wait for it
 * while packages are written, and uploads of other runs would wait for one that is held.
 */
async function areLocked(database: Database, outcomes: readonly InventoryOutcome[]): Promise<boolean> {
  const tasks = outcomes.map(({ scan }) => ({ ...scan, ends: true }));
  const { busy } = await database.transaction((tx) => lockTasks(tx, tasks));
  return busy.size > 0;
}

async function writeOutcomes(
  tx: Transaction,
  outgoing: Outgoing,
  outcomes: readonly InventoryOutcome[],
): Promise<BatchOutcome<StoredInventory>[]> {
  const hosts = await keepHosts(
    tx,
    outcomes.map(({ scan }) => scan.hostId),
  );
  const written: BatchOutcome<StoredInventory>[] = [];
  for (const outcome of outcomes) {
    const state = hosts.get(outcome.scan.hostId);
    if (state === "busy") written.push({ busy: true });
    else if (state === "locked") written.push({ done: await writeOutcome(tx, outgoing, outcome) });
    else written.push({ failed: new IngestError("task_not_found", "scan_id: the host was deleted") });
  }
  return written;
}

async function writeOutcome(tx: Transaction, outgoing: Outgoing, outcome: InventoryOutcome): Promise<StoredInventory> {
  const { scan } = outcome;
  const { taskId, hostId, organisationId } = scan;
  const end = { taskId, hostId, organisationId };
  if ("error" in outcome) {
    await insertFailedScan(tx, scan, outcome.error);
    const ends = [{ ...end, exitCode: -1, resultJson: null, error: outcome.error }];
    const finished = await finishTasks(tx, ends, await lockRunsOf(tx, ends));
    publishEnds(outgoing, finished.tasks);
    publishScan(outgoing, { ...end, packages: null, error: outcome.error });
    return { counts: undefined, finished };
  }
  const counts = await storeScan(tx, scan, outcome.packages);
  // Written here, because the agent's own result may be lost.
  const resultJson = JSON.stringify({
    scan_id: taskId,
    package_count: counts.packages,
    source: scan.source,
    started_at: scan.startedAt.toISOString(),
    completed_at: new Date().toISOString(),
  });
  const ends = [{ ...end, exitCode: 0, resultJson, error: "" }];
  const finished = await finishTasks(tx, ends, await lockRunsOf(tx, ends));
  publishEnds(outgoing, finished.tasks);
  publishScan(outgoing, { ...end, packages: counts.packages, error: null });
  return { counts, finished };
}
