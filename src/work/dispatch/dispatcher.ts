import { setTimeout as delay } from "node:timers/promises";
import { type BackoffOptions, backoffDelayMs } from "../../lib/async/backoff.js";
import { groupBy } from "../../lib/group-by.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { listCheckSets } from "../../store/work/checks.js";
import { findDueHosts } from "../../store/work/due-work.js";
import { listPendingQueries } from "../../store/work/queries.js";
import type { WorkHost } from "../../store/work/work-host.js";
import type { WorkEvents } from "../events.js";
import type { Send } from "../push.js";
import { Seat, Seats } from "../seats.js";
import { toCheckList } from "./check-definitions.js";
import { DueWork, type WorkHint } from "./due-work.js";
import { TaskSender } from "./task-sender.js";

const SCAN_INTERVAL_MS = 30_000;
const RETRY_BACKOFF: BackoffOptions = { baseMs: 200, maxMs: 5_000 };
/** Mostly another instance starts tasks of the same run, which is over at once. */
const HELD_BACKOFF: BackoffOptions = { baseMs: 20, maxMs: 1_000 };
/** Queries in one message. */
const MAX_QUERIES = 50;

/** What a {@link Dispatcher} needs. */
export interface DispatcherOptions extends PublishingDatabase {
  events: WorkEvents;
  /** Tasks that have waited for longer are never sent, in milliseconds. */
  maxAgeMs: number;
  /** How often all hosts are looked at, whatever was notified; 30 seconds unless told otherwise. */
  scanIntervalMs?: number | undefined;
}

/**
 * Sends agents what the platform wants of them: checks, queries, tasks and their cancellation. It reads what is due when
 * a session opens, when a change is notified, and for all sessions in a slow scan that finds what a lost notification
 * missed. Each time in a few statements for all hosts concerned; while they run, the next ones gather.
 */
export class Dispatcher {
  readonly #seats = new Seats();
  readonly #due = new DueWork();
  readonly #tasks: TaskSender;
  readonly #stopping = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> | undefined;
  /** How often in a row a run was held. */
  #held = 0;

  constructor(private readonly options: DispatcherOptions) {
    const { database, outbox, events, maxAgeMs, scanIntervalMs = SCAN_INTERVAL_MS } = options;
    const onDue = (hostIds: readonly string[]) => this.#hint(hostIds.map((hostId) => ({ kind: "tasks", hostId })));
    const onHeld = (runIds: readonly string[]) => this.#hintLater(runIds);
    this.#tasks = new TaskSender({ database, outbox, events, maxAgeMs, onDue, onHeld });
    this.#timer = setInterval(() => this.hear({ kind: "everything" }), scanIntervalMs);
    this.#timer.unref();
  }

  /** A session opened: what is due for its host is read and sent. */
  join(host: WorkHost & { agentId: string }, send: Send): Seat {
    const seat = new Seat(host, send);
    this.#seats.add(seat);
    this.#hint([{ kind: "session", seat }]);
    return seat;
  }

  /** The session has ended. */
  leave(seat: Seat): void {
    this.#seats.remove(seat);
  }

  /** Something may have changed: what is due is read from the tables. */
  hear(hint: WorkHint): void {
    this.#hint([hint]);
  }

  /** Sends nothing more, and resolves when what was under way has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#running;
    await this.#tasks
      .stop()
      .catch((error: unknown) => this.options.events.failed({ what: "tasks that could not be sent", error }));
  }

  #hint(hints: readonly WorkHint[]): void {
    for (const hint of hints) this.#due.add(hint);
    if (this.#stopping.signal.aborted) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Somebody holds these runs: they are looked at again, and nothing waits for them meanwhile. */
  #hintLater(runIds: readonly string[]): void {
    this.#held += 1;
    const hint = () => this.#hint(runIds.map((runId) => ({ kind: "run", runId })));
    setTimeout(hint, backoffDelayMs(this.#held, HELD_BACKOFF)).unref();
  }

  async #run(): Promise<void> {
    // Sessions that open in this turn of the event loop are read about together.
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (let failures = 0; !this.#due.isEmpty && !this.#stopping.signal.aborted; ) {
      const due = this.#due.take();
      try {
        await this.#send(due);
        failures = 0;
      } catch (error) {
        failures += 1;
        this.#due.putBack(due);
        this.options.events.failed({ what: "work that is due for agents", error });
        const waitMs = backoffDelayMs(failures, RETRY_BACKOFF);
        await delay(waitMs, undefined, { signal: this.#stopping.signal, ref: false }).catch(() => {});
      }
    }
  }

  async #send(due: DueWork): Promise<void> {
    const { db } = this.options.database;
    if (due.everything) {
      for (const seat of this.#seats.list()) seat.isStalled = false;
      const told = this.#seats.list().map(({ host, checksDigest = "" }) => ({ ...host, checksDigest }));
      if (told.length > 0) for (const found of await findDueHosts(db, told)) due.add(found);
    }
    const joined = [...due.sessions].filter((seat) => this.#seats.find(seat.host.hostId) === seat);
    const seatsOf = (hostIds: ReadonlySet<string>) => [...new Set([...joined, ...this.#seats.list(hostIds)])];
    await this.#sendChecks(seatsOf(due.checks));
    await this.#sendQueries(seatsOf(due.queries));
    const heldBefore = this.#held;
    await this.#tasks.send({ joined, seats: seatsOf(due.tasks), all: this.#seats.list(), runIds: [...due.runs] });
    if (this.#held === heldBefore) this.#held = 0;
  }

  async #sendChecks(seats: readonly Seat[]): Promise<void> {
    if (seats.length === 0) return;
    const sets = await listCheckSets(
      this.options.database.db,
      seats.map(({ host }) => host),
    );
    for (const set of sets) {
      const seat = this.#seats.find(set.hostId);
      if (seat === undefined || seat.checksDigest === set.digest) continue;
      const before = seat.checksDigest;
      seat.checksDigest = set.digest;
      const { checks, leftOut } = toCheckList(set);
      if (leftOut.length > 0) this.options.events.checksLeftOut({ hostId: set.hostId, ids: leftOut });
      if (checks.length === 0) continue;
      void seat.send({ kind: "checks", checks }).then((isSent) => {
        // The next scan finds that it differs.
        if (!isSent && seat.checksDigest === set.digest) seat.checksDigest = before ?? "unsent";
      });
    }
  }

  async #sendQueries(seats: readonly Seat[]): Promise<void> {
    if (seats.length === 0) return;
    const pending = await listPendingQueries(
      this.options.database.db,
      seats.map(({ host }) => host),
    );
    const byHost = groupBy(pending, ({ hostId }) => hostId);
    for (const [hostId, queries] of byHost) {
      const seat = this.#seats.find(hostId);
      const unsent = queries.filter(({ id }) => seat?.takeUnsent(id));
      for (let from = 0; seat !== undefined && from < unsent.length; from += MAX_QUERIES) {
        const some = unsent.slice(from, from + MAX_QUERIES);
        const push = some.map(({ id, type }) => ({ queryId: id, queryType: type }));
        void seat.send({ kind: "queries", queries: push }).then((isSent) => {
          if (!isSent) for (const { id } of some) seat.forget(id);
        });
      }
    }
  }
}
