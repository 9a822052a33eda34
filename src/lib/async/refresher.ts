/** How a {@link Refresher} runs. */
export interface RefresherOptions {
  /** What is done each time. */
  work: () => Promise<void>;
  /** The longest time between two runs, in milliseconds. */
  intervalMs: number;
  /** The shortest time between two runs, in milliseconds, however often {@link Refresher.now} is called. */
  paceMs?: number;
  /** Told of the first failure in a row. */
  onError: (error: unknown) => void;
}

interface Request {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** Does something again and again: every so often, and soon when it is asked for. Never twice at once. */
export class Refresher {
  readonly #ended: Promise<void>;
  #stopped = false;
  #request: Request | undefined;
  #wake: () => void = () => {};

  /** The first run is one interval away. */
  constructor(private readonly options: RefresherOptions) {
    this.#ended = this.#loop();
  }

  /**
   * Resolves when a run that began after this call has ended; rejects with what that run failed with, or because it was
   * stopped. Who only gives a hint need not look at either.
   */
  now(): Promise<void> {
    const request = this.#request ?? createRequest();
    if (this.#stopped) {
      request.reject(stoppedError());
    } else {
      this.#request = request;
      this.#wake();
    }
    return request.promise;
  }

  /** Runs no more, and resolves when the run that is going on has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#ended;
  }

  async #loop(): Promise<void> {
    const { work, intervalMs, paceMs = 0, onError } = this.options;
    let failed = false;
    let notBefore = 0;
    while (!this.#stopped) {
      if (this.#request === undefined) await this.#sleep(intervalMs);
      while (!this.#stopped && performance.now() < notBefore) await this.#sleep(notBefore - performance.now());
      if (this.#stopped) break;
      notBefore = performance.now() + paceMs;
      const request = this.#request;
      this.#request = undefined;
      try {
        await work();
        failed = false;
        request?.resolve();
      } catch (error) {
        if (!failed) onError(error);
        failed = true;
        request?.reject(error);
      }
    }
    this.#request?.reject(stoppedError());
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function createRequest(): Request {
  let resolve: Request["resolve"] = () => {};
  let reject: Request["reject"] = () => {};
  const promise = new Promise<void>((onDone, onFailed) => {
    resolve = onDone;
    reject = onFailed;
  });
  // Whoever asked may not wait for the answer.
  promise.catch(() => {});
  return { promise, resolve, reject };
}

function stoppedError(): Error {
  return new Error("it was stopped");
}
