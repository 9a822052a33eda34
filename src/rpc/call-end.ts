import { type ContextValues, createContextKey } from "@connectrpc/connect";

/** Tells when a call is over. */
export interface CallEnd {
  /** Has a listener called once the call is over, whatever ended it; at once if it is. */
  whenOver(listener: (reason: unknown) => void): void;
  /** Aborted then. */
  readonly signal: AbortSignal;
}

/** Set where signals are made when somebody looks at one: an AbortSignal with its listeners takes a kilobyte. */
export const callEndKey = createContextKey<CallEnd | undefined>(undefined, { description: "end of the call" });

/** What tells when a call is over: by its signal, where nothing else does. */
export function callEndOf(values: ContextValues, call: { readonly signal: AbortSignal }): CallEnd {
  return values.get(callEndKey) ?? endOfSignal(call.signal);
}

function endOfSignal(signal: AbortSignal): CallEnd {
  return {
    signal,
    whenOver: (listener) => {
      if (signal.aborted) listener(signal.reason);
      else signal.addEventListener("abort", () => listener(signal.reason), { once: true });
    },
  };
}
