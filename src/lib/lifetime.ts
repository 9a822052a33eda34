/** What {@link Lifetime} tells of each step of closing. */
export interface CloseStep {
  /** The name the resource was registered under. */
  name: string;
  /** How long the step took, in milliseconds. */
  durationMs: number;
  /** What the step failed with, if it did. */
  error?: unknown;
}

/**
 * Closes what was opened, in reverse order. A step that fails or outlives its bound does not keep the ones after it
 * from running.
 */
export class Lifetime {
  readonly #resources: { name: string; close: () => Promise<void> | void; timeoutMs: number }[] = [];
  #closing: Promise<void> | undefined;

  /** @param onStep told of each step when it has ended */
  constructor(private readonly onStep: (step: CloseStep) => void) {}

  /** Registers how to close a resource, right after it was opened; `timeoutMs` bounds that step. */
  register(name: string, close: () => Promise<void> | void, timeoutMs = 5_000): void {
    this.#resources.push({ name, close, timeoutMs });
  }

  /** Closes everything; a further call waits for the first one. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    for (let resource = this.#resources.pop(); resource !== undefined; resource = this.#resources.pop()) {
      const { name, close, timeoutMs } = resource;
      const startedAt = performance.now();
      try {
        await withTimeout(Promise.resolve().then(close), timeoutMs);
        this.onStep({ name, durationMs: performance.now() - startedAt });
      } catch (error) {
        this.onStep({ name, durationMs: performance.now() - startedAt, error });
      }
    }
  }
}

function withTimeout(work: Promise<void>, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not done after ${timeoutMs} ms`)), timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
