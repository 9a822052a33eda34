/**
 * Bounds the bytes that many hold at one time. Who waits for more bytes of a slow or silent sender holds what it has
 * for as long as that sender likes: when there is no room left, the one that has waited longest is cut off, so that
 * nobody can take the room away from the others by sending half of something.
 */
export class ByteBudget {
  #held = 0;
  /** Those that wait for more bytes, the one that has waited longest first. */
  readonly #waiting = new Set<ByteAccount>();

  constructor(private readonly maxBytes: number) {}

  /** What all accounts hold. */
  get held(): number {
    return this.#held;
  }

  /** @param onCut is called when this one had to give everything back */
  open(onCut: () => void): ByteAccount {
    let own = 0;
    let isSettled = false;
    let isClosed = false;
    const giveBack = () => {
      this.#waiting.delete(account);
      this.#held -= own;
      own = 0;
      isSettled = false;
    };
    const account: ByteAccount = {
      hold: (bytes) => {
        if (isClosed) return false;
        while (this.#held + bytes > this.maxBytes) {
          const [longest] = this.#waiting;
          const victim = longest === account ? [...this.#waiting][1] : longest;
          if (victim === undefined) return false;
          victim.cut();
        }
        if (!isSettled) this.#waiting.add(account);
        own += bytes;
        this.#held += bytes;
        return true;
      },
      settle: () => {
        isSettled = true;
        this.#waiting.delete(account);
      },
      release: giveBack,
      close: () => {
        isClosed = true;
        giveBack();
      },
      cut: () => {
        account.close();
        onCut();
      },
    };
    return account;
  }
}

/** The bytes of one holder. */
export interface ByteAccount {
  /** Holds more; false when there is no room. */
  hold(bytes: number): boolean;
  /** Everything has arrived: from now on until {@link release} it is not cut off. */
  settle(): void;
  /** Gives everything back. */
  release(): void;
  /** Gives everything back, and holds nothing any more. */
  close(): void;
  /** Closes it, and tells its holder. */
  cut(): void;
}
