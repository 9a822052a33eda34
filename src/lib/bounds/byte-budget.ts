/**
 * Bounds the bytes that many hold at one time. Who waits for more bytes of a slow or silent sender holds what it has
 * for as long as that sender likes: when there is no room left, the one that has waited longest is cut off, so that
 * nobody can take the room away from the others by sending half of something.
 */
export class ByteBudget {
  /** What all accounts hold. They write it, and nobody else. */
  held = 0;
  /** Those that wait for more bytes, the one that has waited longest first. They write it, and nobody else. */
  readonly waiting = new Set<ByteAccount>();

  constructor(readonly maxBytes: number) {}

  /** @param onCut is called when this one had to give everything back */
  open(onCut: () => void): ByteAccount {
    return new ByteAccount(this, onCut);
  }
}

/** The bytes of one holder. */
export class ByteAccount {
  #own = 0;
  #isSettled = false;
  #isClosed = false;

  constructor(
    private readonly budget: ByteBudget,
    private readonly onCut: () => void,
  ) {}

  /** Holds more; false when there is no room. */
  hold(bytes: number): boolean {
    if (this.#isClosed) return false;
    const { budget } = this;
    while (budget.held + bytes > budget.maxBytes) {
      const [longest, second] = budget.waiting;
      const victim = longest === this ? second : longest;
      if (victim === undefined) return false;
      victim.cut();
    }
    if (!this.#isSettled) budget.waiting.add(this);
    this.#own += bytes;
    budget.held += bytes;
    return true;
  }

  /** Everything has arrived: from now on until {@link release} it is not cut off. */
  settle(): void {
    this.#isSettled = true;
    this.budget.waiting.delete(this);
  }

  /** Gives everything back. */
  release(): void {
    this.budget.waiting.delete(this);
    this.budget.held -= this.#own;
    this.#own = 0;
    this.#isSettled = false;
  }

  /** Gives everything back, and holds nothing any more. */
  close(): void {
    this.#isClosed = true;
    this.release();
  }

  /** Closes it, and tells its holder. */
  cut(): void {
    this.close();
    this.onCut();
  }
}
