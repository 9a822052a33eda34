import type { ContextValues } from "@connectrpc/connect";
import { IngestError } from "../../errors.js";
import { addressSource } from "../../lib/formats/address-source.js";
import { peerKey } from "../context.js";

const RETRY_AFTER_MS = 10_000;

/** Bounds the streams that anybody may keep open, without a credential: in all, and of one address (IPv6: /64). */
export class StreamSlots {
  readonly #bySource = new Map<string, number>();
  #open = 0;

  constructor(private readonly limits: { max: number; maxPerSource: number }) {}

  /**
   * Takes a slot for a caller, and returns how to give it back.
   *
   * @throws IngestError `too_many_calls` when there is none
   */
  enter(caller: ContextValues): () => void {
    const { max, maxPerSource } = this.limits;
    const { source } = addressSource(caller.get(peerKey).address);
    const own = this.#bySource.get(source) ?? 0;
    if (own >= maxPerSource) throw tooMany(`${maxPerSource} such streams of your address are open`);
    if (this.#open >= max) throw tooMany(`${max} such streams are open`);
    this.#open += 1;
    this.#bySource.set(source, own + 1);
    return () => {
      this.#open -= 1;
      const left = (this.#bySource.get(source) ?? 1) - 1;
      if (left === 0) this.#bySource.delete(source);
      else this.#bySource.set(source, left);
    };
  }
}

function tooMany(what: string): IngestError {
  return new IngestError("too_many_calls", `${what}; try again later`, { retryAfterMs: RETRY_AFTER_MS });
}
