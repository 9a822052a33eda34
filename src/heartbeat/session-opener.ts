import { agentNotFound } from "../errors.js";
import { Batcher, type BatchOutcome } from "../lib/async/batcher.js";
import { groupLookups } from "../lib/async/group-lookups.js";
import { type Database, toDatabaseError } from "../store/database.js";
import { openAgentSessions } from "../store/sessions/agent-sessions.js";
import {
  type DoubtfulSession,
  findDoubtfulSessions,
  type SessionCredentials,
} from "../store/sessions/session-validity.js";
import { SetWriter } from "../store/set-writer.js";
import type { HeartbeatEvents } from "./events.js";

const MAX_BATCH_ROWS = 200;
/** A single stream opens at once. When thousands come back together, they are opened fifty times a second. */
const PACE_MS = 20;
/** A deadlock is over at once; who cannot be let in for longer is told to come back. */
const RETRY_FOR_MS = 2_000;

/** What a {@link SessionOpener} needs. */
export interface SessionOpenerOptions {
  database: Database;
  events: HeartbeatEvents;
  /** Names this instance in `ingest.agent_sessions`. */
  instanceId: string;
}

/** Opens sessions, all that open at the moment together: one statement looks at them, one gives them their epochs. */
export class SessionOpener {
  readonly #findDoubt: (credentials: SessionCredentials) => Promise<DoubtfulSession | undefined>;
  readonly #epochs: Batcher<string, number>;

  constructor({ database, events, instanceId }: SessionOpenerOptions) {
    this.#findDoubt = groupLookups(async (credentials) => {
      const found = new Map(
        (await findDoubtfulSessions(database.db, credentials)).map((doubt) => [doubt.index, doubt]),
      );
      return credentials.map((_, index) => found.get(index));
    }, PACE_MS);
    const writer = new SetWriter<string, number>({
      write: async (agentIds) => {
        const opened = await openAgentSessions(database.db, { agentIds, instanceId });
        return opened.map((result, index): BatchOutcome<number> => {
          if (result === "busy") return { busy: true };
          return result === "gone" ? { failed: agentNotFound(agentIds[index] ?? "") } : { done: result.epoch };
        });
      },
      onRetry: (retry) => events.writeRetried(retry),
      retryForMs: RETRY_FOR_MS,
    });
    this.#epochs = new Batcher({
      flush: (agentIds) => writer.write(agentIds),
      maxItems: MAX_BATCH_ROWS,
      paceMs: PACE_MS,
    });
  }

  /**
   * What speaks against a session as its agent is on record now; undefined when nothing does.
   *
   * @throws IngestError `database_unavailable`
   */
  async findDoubt(credentials: SessionCredentials): Promise<DoubtfulSession | undefined> {
    return this.#findDoubt(credentials).catch((error: unknown) => {
      throw toDatabaseError(error);
    });
  }

  /**
   * Takes the agent's next epoch: every earlier session of the agent is over with it, on whatever instance.
   *
   * @throws IngestError `agent_not_found`, `database_unavailable`
   */
  takeEpoch(agentId: string): Promise<number> {
    return this.#epochs.add(agentId);
  }
}
