/** Lets those who come go on one by one, each in a turn of the event loop of its own. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Resolves at once when nobody came in this turn, else in the turn after that of whoever came before. */
  async take(): Promise<void> {
    const own = this.#last;
    this.#last = own.then(() => new Promise(setImmediate));
    await own;
  }
}
