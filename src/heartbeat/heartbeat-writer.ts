import { IngestError } from "../errors.js";
import { Batcher, type BatchOutcome } from "../lib/batcher.js";
import { insertStatusHistory } from "../store/agents.js";
import type { Database, Queryable } from "../store/database.js";
import { type HeartbeatRow, writeHeartbeats } from "../store/heartbeats.js";
import { type LockedAgent, lockHostsAndAgents } from "../store/locks.js";
import { listNetworks, replaceAutoAssignedMemberships } from "../store/network-memberships.js";
import type { HeartbeatEvents } from "./events.js";
import { findNetworkIds } from "./network-membership.js";
import { writeSet } from "./set-writer.js";

const MAX_BATCH_ROWS = 200;
const MAX_BATCH_BYTES = 1024 * 1024;
/** What waits over all streams; beyond it streams are read more slowly. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const BUSY_RETRY_MS = 100;

/** The group-commit writer of heartbeats: {@link write} resolves when the transaction that holds it has committed. */
export class HeartbeatWriter {
  readonly #batcher: Batcher<HeartbeatRow, void>;

  constructor(options: { database: Database; events: HeartbeatEvents }) {
    const { database, events } = options;
    this.#batcher = new Batcher({
      flush: async (rows) => {
        const cameBack: string[] = [];
        const outcomes = await writeSet<HeartbeatRow, void>(
          {
            database,
            write: (tx, set) => writeBatch(tx, set, cameBack),
            onRetry: (retry) => events.writeRetried(retry),
          },
          rows,
        );
        for (const agentId of new Set(cameBack)) {
          events.statusChanged({ agentId, status: "active", reason: CAME_BACK });
        }
        return outcomes;
      },
      maxItems: MAX_BATCH_ROWS,
      maxBytes: MAX_BATCH_BYTES,
      maxWaitingBytes: MAX_WAITING_BYTES,
      busyRetryMs: BUSY_RETRY_MS,
    });
  }

  /**
   * Stores a heartbeat.
   *
   * @param bytes about how much memory it holds
   * @throws IngestError `agent_not_found`, `agent_not_allowed`, `database_unavailable`
   */
  write(row: HeartbeatRow, bytes: number): Promise<void> {
    return this.#batcher.add(row, bytes);
  }
}

const CAME_BACK = "heartbeat received";

async function writeBatch(
  tx: Queryable,
  rows: readonly HeartbeatRow[],
  cameBack: string[],
): Promise<BatchOutcome<void>[]> {
  const found = await lockHostsAndAgents(tx, rows);
  const isWritable = (row: HeartbeatRow) => "done" in outcomeOf(row, found.get(row.agentId));
  const writable = rows.filter(isWritable);
  if (writable.length > 0) {
    await writeHeartbeats(tx, writable);
    await assignNetworks(tx, writable, found);
    const offline = [...new Map(writable.map((row) => [row.agentId, row])).values()].filter(
      ({ agentId }) => statusOf(found.get(agentId)) === "offline",
    );
    await insertStatusHistory(
      tx,
      offline.map(({ agentId, organisationId }) => ({ agentId, organisationId, status: "active", reason: CAME_BACK })),
    );
    cameBack.push(...offline.map(({ agentId }) => agentId));
  }
  return rows.map((row) => outcomeOf(row, found.get(row.agentId)));
}

function outcomeOf({ agentId }: HeartbeatRow, found: LockedAgent | undefined): BatchOutcome<void> {
  if (found?.state === "busy") return { busy: true };
  if (found?.state !== "locked") {
    return { failed: new IngestError("agent_not_found", `agent ${agentId} does not exist, or was deleted`) };
  }
  const { agentStatus } = found;
  return agentStatus === "active" || agentStatus === "offline"
    ? { done: undefined }
    : { failed: new IngestError("agent_not_allowed", `agent ${agentId} is ${agentStatus}`) };
}

function statusOf(found: LockedAgent | undefined): string | undefined {
  return found?.state === "locked" ? found.agentStatus : undefined;
}

async function assignNetworks(
  tx: Queryable,
  rows: readonly HeartbeatRow[],
  found: ReadonlyMap<string, LockedAgent>,
): Promise<void> {
  const moved = rows.flatMap(({ agentId, hostId, organisationId, ipAddresses }) => {
    const before = found.get(agentId);
    const unchanged = before?.state === "locked" && JSON.stringify(before.ipAddresses) === JSON.stringify(ipAddresses);
    return ipAddresses === null || unchanged ? [] : [{ hostId, organisationId, ipAddresses }];
  });
  if (moved.length === 0) return;
  const networks = await listNetworks(tx, [...new Set(moved.map(({ organisationId }) => organisationId))]);
  const memberships = moved.flatMap(({ hostId, organisationId, ipAddresses }) => {
    const own = networks.filter((network) => network.organisationId === organisationId);
    return findNetworkIds(own, ipAddresses).map((networkId) => ({ hostId, organisationId, networkId }));
  });
  await replaceAutoAssignedMemberships(
    tx,
    moved.map(({ hostId }) => hostId),
    memberships,
  );
}
