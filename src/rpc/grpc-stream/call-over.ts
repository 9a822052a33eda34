import type { CallEnd } from "../call-end.js";

/** The end of a call: who ends it, and who is told. Its signal is made when somebody looks at it. */
export class CallOver implements CallEnd {
  #over: { reason: unknown } | undefined;
  #listeners: ((reason: unknown) => void)[] = [];
  #controller: AbortController | undefined;

  /** What the call ended with; undefined also while it goes on. */
  get reason(): unknown {
    return this.#over?.reason;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      this.whenOver((reason) => controller.abort(reason));
    }
    return this.#controller.signal;
  }

  whenOver(listener: (reason: unknown) => void): void {
    if (this.#over !== undefined) listener(this.#over.reason);
    // A push would make room for seventeen more.
    else this.#listeners = this.#listeners.concat(listener);
  }

  /** The call is over. Of several calls the first one counts. */
  end(reason: unknown): void {
    if (this.#over !== undefined) return;
    this.#over = { reason };
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener(reason);
  }
}
