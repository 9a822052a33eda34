import { agentNotAllowed, agentNotFound, sessionDisplaced } from "../errors.js";
import { recordStatusChanges } from "../identity/status-changes.js";
import { Batcher, type BatchOutcome } from "../lib/async/batcher.js";
import type { Outbox, Outgoing } from "../outbox/outbox.js";
import { mayCall } from "../store/agents/calling-statuses.js";
import { type Database, isOutage } from "../store/database.js";
import type { InventoryTiming } from "../store/hosts/host-inventories.js";
import { type LockedAgent, lockHostsAndAgents } from "../store/hosts/row-locks.js";
import { type HeartbeatRow, writeHeartbeats } from "../store/sessions/heartbeats.js";
import { SetWriter } from "../store/sets/set-writer.js";
import type { Transaction } from "../store/transaction.js";
import type { HeartbeatEvents } from "./events.js";
import { type InventoryOutcome, recordInventories } from "./inventory/record-inventories.js";
import { toMetricsMessage } from "./metrics-message.js";
import type { Calm } from "./presence/calm.js";

const MAX_BATCH_ROWS = 200;
const MAX_BATCH_BYTES = 1024 * 1024;
/** With so many a transaction costs each of them next to nothing, and the next ones can gather while it commits. */
const ENOUGH_ROWS = 64;
/** What waits over all streams; beyond it streams are read more slowly. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/** The group-commit writer of heartbeats: {@link write} resolves when the transaction that holds it has committed. */
export class HeartbeatWriter {
  readonly #batcher: Batcher<HeartbeatRow, Written>;

  constructor(options: {
    database: Database;
    outbox: Outbox;
    events: HeartbeatEvents;
    calm: Calm;
    inventoryTiming: InventoryTiming;
    /** How long a heartbeat waits for others, in milliseconds. */
    commitDelayMs: number;
    /** How long the database may be away, in milliseconds; a minute unless told otherwise. */
    outageLimitMs?: number;
  }) {
    const { database, outbox, events, calm, inventoryTiming, commitDelayMs, outageLimitMs } = options;
    const writer = new SetWriter<HeartbeatRow, Written>({
      write: async (rows) => {
        const askedAt = performance.now();
        const outcomes = await outbox.transaction(
          database,
          (tx, outgoing) => writeBatch(tx, outgoing, rows, inventoryTiming),
          { keepsStatements: true },
        );
        // Who is acknowledged and then ends its stream in order need not be given time to come back.
        calm.reportAnswer(askedAt);
        return outcomes;
      },
      onRetry: (retry) => {
        if (isOutage(retry.error)) calm.reportTrouble();
        events.writeRetried(retry);
      },
      retryForMs: outageLimitMs,
    });
    this.#batcher = new Batcher({
      flush: async (rows) => {
        const startedAt = performance.now();
        const outcomes = await writer.write(rows);
        const stored = outcomes.filter((outcome) => "done" in outcome).length;
        const failed = outcomes.filter((outcome) => "failed" in outcome).length;
        events.heartbeatsWritten({ stored, failed, durationMs: performance.now() - startedAt });
        const cameBack = rows.filter((_, index) => isCameBack(outcomes[index]));
        for (const agentId of new Set(cameBack.map((row) => row.agentId))) {
          events.statusChanged({ agentId, status: "active", reason: CAME_BACK });
        }
        return outcomes;
      },
      maxItems: MAX_BATCH_ROWS,
      maxWeight: MAX_BATCH_BYTES,
      maxWaitingWeight: MAX_WAITING_BYTES,
      company: { items: ENOUGH_ROWS, withinMs: commitDelayMs },
    });
  }

  /** What waits to be written, in bytes. */
  get waitingBytes(): number {
    return this.#batcher.waitingWeight;
  }

  /**
   * Stores a heartbeat.
   *
   * @param bytes about how much memory it holds
   * @throws IngestError `agent_not_found`, `agent_not_allowed`, `session_displaced`,
   * `not_storable`, `database_unavailable`
   */
  write(row: HeartbeatRow, bytes: number): Promise<Written> {
    return this.#batcher.add(row, bytes);
  }
}

const CAME_BACK = "heartbeat received";

/** What a committed heartbeat did beside being stored. */
export interface Written {
  /** The agent was offline before. */
  cameBack: boolean;
  /** What became of the inventory; undefined when none was reported. */
  inventory: InventoryOutcome | undefined;
}

function isCameBack(outcome: BatchOutcome<Written> | undefined): boolean {
  return outcome !== undefined && "done" in outcome && outcome.done.cameBack;
}

async function writeBatch(
  tx: Transaction,
  outgoing: Outgoing,
  rows: readonly HeartbeatRow[],
  timing: InventoryTiming,
): Promise<BatchOutcome<Written>[]> {
  const found = await lockHostsAndAgents(tx, rows);
  const outcomes = rows.map((row) => outcomeOf(row, found.get(row.agentId)));
  let inventories: ReadonlyMap<string, InventoryOutcome> = new Map();
  const writable = rows.filter((_, index) => "done" in (outcomes[index] ?? {}));
  if (writable.length > 0) {
    const stored = await writeHeartbeats(tx, writable);
    outgoing.publish("metrics.raw", () => stored.map(toMetricsMessage));
    inventories = await recordInventories(tx, writable, timing);
    const cameBack = rows.filter((_, index) => isCameBack(outcomes[index]));
    const offline = [...new Map(cameBack.map((row) => [row.agentId, row])).values()];
    await recordStatusChanges(
      tx,
      outgoing,
      offline.map((row) => ({ ...row, from: "offline", to: "active", reason: CAME_BACK })),
    );
  }
  return outcomes.map((outcome, index) =>
    "done" in outcome ? { done: { ...outcome.done, inventory: inventories.get(rows[index]?.hostId ?? "") } } : outcome,
  );
}

function outcomeOf({ agentId, epoch }: HeartbeatRow, found: LockedAgent | undefined): BatchOutcome<Written> {
  if (found === undefined || found.state === "gone") return { failed: agentNotFound(agentId) };
  // What an old stream still brings must not show an agent online whose newer stream has ended. Nor does it wait: an agent that
  // comes back again and again while its host is locked would leave a heartbeat each time.
  if (found.epoch > epoch) return { failed: sessionDisplaced() };
  if (found.state === "busy") return { busy: true };
  const { agentStatus } = found;
  return mayCall(agentStatus)
    ? { done: { cameBack: agentStatus === "offline", inventory: undefined } }
    : { failed: agentNotAllowed(agentId, agentStatus) };
}
