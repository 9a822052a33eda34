import { Code, ConnectError } from "@connectrpc/connect";

/** Bounds the streams that anybody may keep open, without a credential. */
export class StreamSlots {
  #open = 0;

  constructor(private readonly max: number) {}

  /**
   * Takes a slot, and returns how to give it back.
   *
   * @throws ConnectError RESOURCE_EXHAUSTED when there is none
   */
  enter(): () => void {
    if (this.#open >= this.max) {
      throw new ConnectError(`${this.max} such streams are open; try again later`, Code.ResourceExhausted);
    }
    this.#open++;
    return () => {
      this.#open--;
    };
  }
}
