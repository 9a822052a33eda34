import { agentNotFound } from "../errors.js";
import { Batcher, type BatchOutcome } from "../lib/async/batcher.js";
import { groupLookups } from "../lib/async/group-lookups.js";
import { type Database, toDatabaseError } from "../store/database.js";
import { openAgentSessions, type SessionOpening } from "../store/sessions/agent-sessions.js";
import {
  type DoubtfulSession,
  findDoubtfulSessions,
  type SessionCredentials,
} from "../store/sessions/session-validity.js";
import { SetWriter } from "../store/sets/set-writer.js";
import type { HeartbeatEvents } from "./events.js";

const MAX_BATCH_ROWS = 200;
/** A single stream opens at once. When thousands come back together, they are opened fifty times a second. */
const PACE_MS = 20;
/** A deadlock is over at once; who cannot be let in for longer is told to come back. */
const RETRY_FOR_MS = 2_000;

/** What a session starts with. */
export interface OpenedSession {
  epoch: number;
  /** The agent's interval as earlier sessions learned it; null when they did not. */
  intervalMs: number | null;
}

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
  readonly #openings: Batcher<Waiting, OpenedSession>;

  constructor({ database, events, instanceId }: SessionOpenerOptions) {
    this.#findDoubt = groupLookups(async (credentials) => {
      const found = new Map(
        (await findDoubtfulSessions(database.db, credentials)).map((doubt) => [doubt.index, doubt]),
      );
      return credentials.map((_, index) => found.get(index));
    }, PACE_MS);
    const writer = new SetWriter<Waiting, OpenedSession>({
      write: async (items) => {
        // An agent that is locked may have come back several times: the last epoch would go to any of its streams.
        const wanted = items.filter(({ isOver }) => !isOver());
        const sessions = wanted.map(({ opening }) => opening);
        const opened = wanted.length === 0 ? [] : await openAgentSessions(database.db, { sessions, instanceId });
        return items.map((item): BatchOutcome<OpenedSession> => {
          const result = opened[wanted.indexOf(item)];
          if (result === undefined) return { failed: new Error("the stream is over") };
          if (result === "busy") return { busy: true };
          return result === "gone" ? { failed: agentNotFound(item.opening.agentId) } : { done: result };
        });
      },
      onRetry: (retry) => events.writeRetried(retry),
      retryForMs: RETRY_FOR_MS,
    });
    this.#openings = new Batcher({
      flush: (openings) => writer.write(openings),
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
   * @param isOver whether its stream is over: then it takes none, and rejects
   * @throws IngestError `agent_not_found`, `database_unavailable`
   */
  open(opening: SessionOpening, isOver: () => boolean): Promise<OpenedSession> {
    return this.#openings.add({ opening, isOver });
  }
}

interface Waiting {
  opening: SessionOpening;
  isOver: () => boolean;
}
