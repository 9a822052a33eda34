import { backoffDelayMs } from "../../../lib/async/backoff.js";
import type { Logger } from "../../../observe/logger.js";
import { WorkerProcess } from "./worker-process.js";

const BACKOFF = { baseMs: 500, maxMs: 10_000 };
/** So many deaths within {@link DEATHS_WITHIN_MS} are no accident. */
const MOST_DEATHS = 5;
const DEATHS_WITHIN_MS = 60_000;
const LOOK_MS = 1_000;
/** A worker that says nothing for so many looks is killed: its agents give it up as well. */
const MOST_SILENT_LOOKS = 60;
/** What a worker may take that was told to end at once. */
const KILL_AFTER_MS = 1_000;

/** The place of one worker. It is empty between the death of one and the start of the next. */
interface Place {
  worker?: WorkerProcess | undefined;
  /** Has the place as soon as it serves. */
  successor?: WorkerProcess | undefined;
}

/**
 * Keeps workers running: one that ends untold is replaced, and a restart replaces one after the other, each when its
 * successor serves.
 */
export class Supervisor {
  /** Rejects when the first worker does not start, or workers die again and again. */
  readonly failed: Promise<never>;
  readonly #fail: (error: Error) => void;
  readonly #logger: Logger;
  readonly #places: Place[];
  readonly #running = new Set<WorkerProcess>();
  readonly #look: NodeJS.Timeout;
  #hasServed = false;
  #hasStarted = false;
  #deaths: number[] = [];
  #isRestarting = false;
  #isRestartDue = false;
  #isStopping = false;

  constructor({ workers, logger }: { workers: number; logger: Logger }) {
    this.#logger = logger;
    this.#places = Array.from({ length: workers }, () => ({}));
    const { promise, reject } = withRejection();
    this.failed = promise;
    this.#fail = reject;
    this.#look = setInterval(() => this.#killSilent(), LOOK_MS);
  }

  /** All that run, those included that are to end. */
  get running(): readonly WorkerProcess[] {
    return [...this.#running];
  }

  /**
   * Starts the first worker alone, and the others when it serves: what is made once (tables, keys, an agent CA) is there
   * then, and what keeps the service from starting is said once.
   *
   * @returns the port that agents are listened to on
   */
  async start(): Promise<number> {
    const [first, ...others] = this.#places as [Place, ...Place[]];
    const port = await Promise.race([this.#settle(first).serving, this.failed]);
    this.#hasServed = true;
    const serving = others.map((place) => this.#settle(place).serving);
    await Promise.race([Promise.all(serving), this.failed]);
    this.#hasStarted = true;
    if (this.#isRestartDue) void this.restart();
    return port;
  }

  /** Replaces every worker. What is asked for meanwhile is done after it, and what is asked for at the start after that. */
  async restart(): Promise<void> {
    this.#isRestartDue = true;
    if (this.#isRestarting || !this.#hasStarted) return;
    this.#isRestarting = true;
    while (this.#isRestartDue && !this.#isStopping) {
      this.#isRestartDue = false;
      this.#logger.info("the workers are restarted, one after the other");
      if (await this.#replaceAll()) this.#logger.info("the workers were restarted");
    }
    this.#isRestarting = false;
  }

  /**
   * Has all workers end.
   *
   * @throws Error when one did not end in order
   */
  async stop(reason: string, hurry: AbortSignal): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#look);
    const workers = this.running;
    let kill: NodeJS.Timeout | undefined;
    const onHurry = () => {
      for (const worker of workers) worker.stopNow();
      kill = setTimeout(() => {
        for (const worker of workers) worker.kill();
      }, KILL_AFTER_MS);
    };
    for (const worker of workers) worker.stop(reason);
    if (hurry.aborted) onHurry();
    else hurry.addEventListener("abort", onHurry, { once: true });
    const ends = await Promise.all(workers.map(({ ended }) => ended));
    clearTimeout(kill);
    const unclean = ends.filter(({ exitCode }) => exitCode !== 0).length;
    if (unclean > 0) throw new Error(`${unclean} of ${ends.length} workers did not end in order; their lines say why`);
  }

  /** Fills a place. */
  #settle(place: Place): WorkerProcess {
    place.worker = this.#fork(place);
    return place.worker;
  }

  #fork(place: Place): WorkerProcess {
    const worker = new WorkerProcess();
    this.#running.add(worker);
    this.#logger.info(worker.name, "a worker was started");
    void worker.ended.then((end) => {
      this.#running.delete(worker);
      // One that did not come so far fails its restart, and nothing else: the old one goes on.
      const wasSuccessor = place.successor === worker;
      this.#leave(place, worker);
      if (this.#isStopping || worker.isTold) return;
      this.#logger.error({ ...worker.name, ...end }, "a worker ended that was not told to");
      if (!wasSuccessor) this.#onDeath(place);
    });
    return worker;
  }

  #leave(place: Place, worker: WorkerProcess): void {
    if (place.successor === worker) place.successor = undefined;
    if (place.worker === worker) {
      place.worker = place.successor;
      place.successor = undefined;
    }
  }

  /** A worker died that had its place. */
  #onDeath(place: Place): void {
    const now = performance.now();
    this.#deaths = [...this.#deaths.filter((time) => now - time < DEATHS_WITHIN_MS), now];
    if (!this.#hasServed) this.#fail(new Error("the first worker ended before it served agents; its lines say why"));
    else if (this.#deaths.length >= MOST_DEATHS)
      this.#fail(new Error(`${MOST_DEATHS} workers ended within a minute that were not told to; their lines say why`));
    else if (place.worker === undefined)
      setTimeout(
        () => {
          if (!this.#isStopping && place.worker === undefined) this.#settle(place);
        },
        backoffDelayMs(this.#deaths.length, BACKOFF),
      );
  }

  async #replaceAll(): Promise<boolean> {
    for (const place of this.#places) {
      const old = place.worker;
      // What comes into an empty place is new anyway.
      if (old === undefined) continue;
      const successor = this.#fork(place);
      place.successor = successor;
      const isServing = await Promise.race([successor.serving.then(() => true), successor.ended.then(() => false)]);
      if (this.#isStopping) return false;
      if (!isServing) {
        this.#logger.error(successor.name, "the workers could not be restarted, the old ones go on");
        return false;
      }
      // It has the place already when the old one died.
      if (place.successor === successor) {
        place.worker = successor;
        place.successor = undefined;
        old.stop("restart");
      }
      await old.ended;
    }
    return true;
  }

  #killSilent(): void {
    for (const worker of this.#running) {
      if (worker.countSilentLook() < MOST_SILENT_LOOKS) continue;
      this.#logger.error(worker.name, "a worker says nothing any more and is killed");
      worker.kill();
    }
  }
}

function withRejection(): { promise: Promise<never>; reject: (error: Error) => void } {
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<never>((_, onReject) => {
    reject = onReject;
  });
  // Whoever waits for it is told; nobody may wait yet.
  promise.catch(() => {});
  return { promise, reject };
}
