import { abortable } from "./async/abortable.js";

/** Where a lifetime is: each state is followed by the next one, `starting` also by `draining`. */
export type LifetimeState = "starting" | "serving" | "draining" | "stopped";

/** What {@link Lifetime} tells of each step of closing. */
export interface CloseStep {
  /** The name the resource was registered under. */
  name: string;
  /** How long the step took, in milliseconds. */
  durationMs: number;
  /** What the step failed with, if it did. */
  error?: unknown;
}

/** How a {@link Lifetime} ends. */
export interface LifetimeOptions {
  /** Bounds all steps of closing together, in milliseconds. */
  stopTimeoutMs: number;
  /** Told of each step when it has ended. */
  onStep?: (step: CloseStep) => void;
}

/** How one resource is closed. */
export interface ResourceOptions {
  /** Bounds this step, in milliseconds. */
  timeoutMs?: number;
  /** It outlives the process unless it is closed: it gets its time when there is none left, and is told to hurry. */
  vital?: boolean;
}

/** Closes a resource; `hurry` is aborted when nobody wants to wait any more. */
type Close = (hurry: AbortSignal) => Promise<void> | void;

const STEP_TIMEOUT_MS = 5_000;
/** Of a start that failed or was given up nothing is worth waiting for, and the operator waits for the error. */
const GIVE_UP_TIMEOUT_MS = 2_000;

/** A start was given up, since the lifetime was told to stop. */
export class StartAborted extends Error {
  override name = "StartAborted";
}

/**
 * Opens resources one after the other, and closes them in reverse order: what was opened is closed however far the start
 * came. A step of closing that fails or outlives its bound does not keep those after it from running.
 */
export class Lifetime {
  readonly #options: LifetimeOptions;
  readonly #resources: { name: string; close: Close; timeoutMs: number; vital: boolean }[] = [];
  readonly #ending = new AbortController();
  readonly #hurry = new AbortController();
  #state: LifetimeState = "starting";
  #stopping: Promise<boolean> | undefined;

  constructor(options: LifetimeOptions) {
    this.#options = options;
  }

  get state(): LifetimeState {
    return this.#state;
  }

  /** Aborted when it is told to stop: what is being opened is given up. */
  get ending(): AbortSignal {
    return this.#ending.signal;
  }

  /** Registers how to close a resource, right after it was opened. */
  register(name: string, close: Close, { timeoutMs = STEP_TIMEOUT_MS, vital = false }: ResourceOptions = {}): void {
    this.#resources.push({ name, close, timeoutMs, vital });
  }

  /**
   * Opens a resource that takes its time. When the lifetime is told to stop, it rejects at once, and what is opened late is
   * closed as soon as it is open.
   *
   * @throws StartAborted
   */
  async open<T>(
    name: string,
    open: (ending: AbortSignal) => Promise<T>,
    close: (resource: T, hurry: AbortSignal) => Promise<void> | void = () => {},
    options?: ResourceOptions,
  ): Promise<T> {
    this.ending.throwIfAborted();
    const opening = open(this.ending);
    const closeOnceOpen = async (hurry: AbortSignal) => {
      const opened = await opening.then(
        (resource) => ({ resource }),
        // It is reported to whoever opens it.
        () => undefined,
      );
      if (opened !== undefined) await close(opened.resource, hurry);
    };
    this.register(name, closeOnceOpen, options);
    return abortable(opening, this.ending);
  }

  /**
   * Everything is open.
   *
   * @throws StartAborted
   */
  serve(): void {
    this.ending.throwIfAborted();
    this.#state = "serving";
  }

  /**
   * Closes everything; a further call waits for the first one.
   *
   * @returns whether all that was open could be closed in time; of a start that was given up, only what is vital counts
   */
  stop(): Promise<boolean> {
    this.#stopping ??= this.#closeAll();
    return this.#stopping;
  }

  /** Stops, and waits for vital resources alone. */
  stopNow(): Promise<boolean> {
    this.#hurry.abort();
    return this.stop();
  }

  async #closeAll(): Promise<boolean> {
    const isGivenUp = this.#state === "starting";
    const timeoutMs = isGivenUp ? GIVE_UP_TIMEOUT_MS : this.#options.stopTimeoutMs;
    this.#state = "draining";
    this.#ending.abort(new StartAborted("it was told to stop before it had started"));
    const timer = setTimeout(() => this.#hurry.abort(), timeoutMs);
    let isClean = true;
    for (let resource = this.#resources.pop(); resource !== undefined; resource = this.#resources.pop()) {
      const { name, close, timeoutMs, vital } = resource;
      const startedAt = performance.now();
      const report = (step: object) =>
        this.#options.onStep?.({ name, durationMs: performance.now() - startedAt, ...step });
      try {
        await this.#bounded((async () => close(this.#hurry.signal))(), timeoutMs, vital);
        report({});
      } catch (error) {
        isClean &&= isGivenUp && !vital;
        report({ error });
      }
    }
    clearTimeout(timer);
    this.#state = "stopped";
    return isClean;
  }

  #bounded(work: Promise<void>, timeoutMs: number, vital: boolean): Promise<void> {
    const bound = new AbortController();
    const giveUp = (why: string) => bound.abort(new Error(why));
    const timer = setTimeout(() => giveUp(`not done after ${timeoutMs} ms`), timeoutMs);
    // One turn for what can be closed at once.
    const onHurry = () => setImmediate(() => giveUp("there was no time left"));
    if (!vital) {
      if (this.#hurry.signal.aborted) onHurry();
      this.#hurry.signal.addEventListener("abort", onHurry, { once: true });
    }
    return abortable(work, bound.signal).finally(() => {
      clearTimeout(timer);
      this.#hurry.signal.removeEventListener("abort", onHurry);
    });
  }
}
