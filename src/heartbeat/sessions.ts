import { IngestError, sessionDisplaced } from "../errors.js";
import type { Caller } from "../identity/caller.js";
import { Session, type SessionDependencies, type SessionHolder } from "./session.js";
import type { SessionStream } from "./session-stream.js";

/** How fast streams are ended when the instance stops. */
export interface DrainPace {
  perSecond: number;
  withinMs: number;
}

const DRAIN_TICK_MS = 20;

/** The heartbeat sessions this instance holds: at most one live one per agent. */
export class Sessions {
  /** Every session whose end is not stored, from before its first message; also several of one agent. */
  readonly #open = new Set<Session>();
  /** Of each agent the one with the highest epoch. */
  readonly #current = new Map<string, Session>();
  readonly #holder: SessionHolder = {
    opened: (session) => this.#displace(session),
    isCurrent: (session) => this.#current.get(session.key.agentId) === session,
    closed: (session) => this.#forget(session),
  };
  #draining = false;
  /** Told, while this drains, that no session is left. */
  #onNoneLeft: () => void = () => {};

  constructor(private readonly dependencies: SessionDependencies) {}

  /**
   * Holds a session over a stream for as long as both last; one that the agent holds here already is ended. The stream is
   * told how it is to end: in order when its agent did so, else with an error; IngestError `draining`,
   * `session_displaced`, `database_unavailable`, or why the agent may not hold it.
   */
  hold(caller: Caller, remoteAddress: string, stream: SessionStream): void {
    if (this.#draining) {
      stream.fail(drainingError());
      return;
    }
    const session = new Session(caller, remoteAddress, stream, this.dependencies, this.#holder);
    this.#open.add(session);
    session.start();
  }

  /** Every session whose end is not stored. */
  get open(): ReadonlySet<Session> {
    return this.#open;
  }

  /** Ends every stream with this error, at once. */
  endAll(error: IngestError): void {
    for (const session of this.#open) session.end(error);
  }

  /**
   * Takes no stream any more, and ends those that there are, a few at a time, so that a fleet does not come back in one
   * instant. Its agents are told to come back, which is another instance's doing, and nobody is marked offline for it.
   * Resolves when all that was under way is stored.
   *
   * @param pace.perSecond how many streams end in a second
   * @param pace.withinMs by when all of them have to be told, however many there are
   */
  async drain({ perSecond, withinMs }: DrainPace): Promise<void> {
    this.#draining = true;
    this.dependencies.departures.leaveToOthers();
    const open = [...this.#open];
    const startedAt = performance.now();
    const perMs = Math.max(perSecond / 1_000, open.length / Math.max(withinMs, 1));
    for (let told = 0; told < open.length; ) {
      const due = Math.min(open.length, 1 + Math.floor((performance.now() - startedAt) * perMs));
      for (const session of open.slice(told, due)) session.finish(drainingError());
      told = due;
      if (told < open.length) await new Promise((resolve) => setTimeout(resolve, DRAIN_TICK_MS));
    }
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onNoneLeft = resolve;
    });
  }

  /** Two openings of one agent may come back from the database in either order: the higher epoch is the agent's. */
  #displace(session: Session): void {
    const { agentId, epoch } = session.key;
    const other = this.#current.get(agentId);
    if (other !== undefined && other.key.epoch > epoch) {
      session.end(sessionDisplaced());
    } else {
      this.#current.set(agentId, session);
      other?.end(sessionDisplaced());
    }
  }

  #forget(session: Session): void {
    this.#open.delete(session);
    if (this.#open.size === 0) this.#onNoneLeft();
    if (this.#current.get(session.key.agentId) === session) this.#current.delete(session.key.agentId);
  }
}

function drainingError(): IngestError {
  return new IngestError("draining", "this instance is shutting down; connect again");
}
