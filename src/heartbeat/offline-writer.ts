import { recordStatusChanges } from "../identity/status-changes.js";
import { Batcher, type BatchOutcome } from "../lib/async/batcher.js";
import type { Outbox, Outgoing } from "../outbox/outbox.js";
import type { Database } from "../store/database.js";
import { lockHostsAndAgents } from "../store/hosts/row-locks.js";
import { markSessionsOffline, type SessionKey } from "../store/sessions/agent-sessions.js";
import { SetWriter } from "../store/set-writer.js";
import type { Transaction } from "../store/transaction.js";
import type { HeartbeatEvents } from "./events.js";

const MAX_BATCH_ROWS = 500;
const BUSY_RETRY_MS = 200;
const STREAM_ENDED = "heartbeat stream ended";

/** Marks agents offline whose stream ended, in batches: a load balancer may drop thousands at once. */
export class OfflineWriter {
  readonly #batcher: Batcher<SessionKey, Ended>;

  constructor(options: { database: Database; outbox: Outbox; events: HeartbeatEvents }) {
    const { database, outbox, events } = options;
    const writer = new SetWriter<SessionKey, Ended>({
      write: (sessions) => outbox.transaction(database, (tx, outgoing) => writeBatch(tx, outgoing, sessions)),
      onRetry: (retry) => events.writeRetried(retry),
    });
    this.#batcher = new Batcher({
      flush: async (sessions) => {
        const outcomes = await writer.write(sessions);
        const wentOffline = sessions.filter((_, index) => {
          const outcome = outcomes[index];
          return outcome !== undefined && "done" in outcome && outcome.done.wentOffline;
        });
        for (const agentId of new Set(wentOffline.map((session) => session.agentId))) {
          events.statusChanged({ agentId, status: "offline", reason: STREAM_ENDED });
        }
        return outcomes;
      },
      maxItems: MAX_BATCH_ROWS,
      busyRetryMs: BUSY_RETRY_MS,
    });
  }

  /** Resolves when the end of the session is stored, also when another session is the agent's current one. */
  async write(session: SessionKey): Promise<void> {
    await this.#batcher.add(session);
  }
}

/** What the committed end of a session did. */
interface Ended {
  /** The agent was active before, and this was its current session. */
  wentOffline: boolean;
}

async function writeBatch(
  tx: Transaction,
  outgoing: Outgoing,
  sessions: readonly SessionKey[],
): Promise<BatchOutcome<Ended>[]> {
  const found = await lockHostsAndAgents(tx, sessions);
  const locked = sessions.filter(({ agentId }) => found.get(agentId)?.state === "locked");
  const offline = new Set(await markSessionsOffline(tx, locked));
  await recordStatusChanges(
    tx,
    outgoing,
    [...new Map(locked.map((session) => [session.agentId, session])).values()]
      .filter(({ agentId }) => offline.has(agentId))
      .map((session) => ({ ...session, from: "active", to: "offline", reason: STREAM_ENDED })),
  );
  return sessions.map(({ agentId }) =>
    found.get(agentId)?.state === "busy" ? { busy: true } : { done: { wentOffline: offline.has(agentId) } },
  );
}
