import { type ContextKey, type ContextValues, createContextKey } from "@connectrpc/connect";
import type { Caller } from "../identity/caller.js";
import type { CallLabels } from "../observe/call-labels.js";

/** The other end of the connection a call came over. */
export interface Peer {
  /** IP address, without port. */
  address: string;
  /** The client certificate it presented, DER, not verified; undefined without one, and once its caller is identified. */
  certificateDer: Uint8Array | undefined;
  /** Ends the stream of this call at once, and what is still to be written; nothing happens to one that is over. */
  reset(): void;
  /** Whether the call, which is over, was taken back by its caller, on a connection that goes on. */
  isCancelled(): boolean;
}

/** The peer of a call. */
export const peerKey = createContextKey<Peer>(
  { address: "", certificateDer: undefined, reset: () => {}, isCancelled: () => false },
  { description: "peer" },
);

/** What the log lines of a call have in common. */
export const labelsKey = createContextKey<CallLabels>({ requestId: "" }, { description: "call" });

/** Whose registration it is: its key is proven, the hostname is what it says. For the record of refusals. */
export interface Registrant {
  /** In its stored form. */
  publicKey: string;
  hostname: string;
}

/** Whose registration is under way, once its key is proven. */
export const registrantKey = createContextKey<Registrant | undefined>(undefined, { description: "registrant" });

/** Who is calling; set for every method that needs a client certificate. */
export const callerKey = createContextKey<Caller | undefined>(undefined, { description: "caller" });

/** As Connect's own, which has three functions for each call: a stream keeps them for as long as it lasts. */
class CallValues implements ContextValues {
  [id: symbol]: unknown;

  get<T>({ id, defaultValue }: ContextKey<T>): T {
    return id in this ? (this[id] as T) : defaultValue;
  }

  set<T>({ id }: ContextKey<T>, value: T): this {
    this[id] = value;
    return this;
  }

  delete({ id }: ContextKey<unknown>): this {
    delete this[id];
    return this;
  }
}

/** The context values a call starts with. */
export function contextValuesOf(peer: Peer, call: CallLabels): ContextValues {
  return new CallValues().set(peerKey, peer).set(labelsKey, call);
}

/** The caller of a method that needs a client certificate. */
export function requireCaller(values: ContextValues): Caller {
  const caller = values.get(callerKey);
  if (caller === undefined) throw new Error("this method is called without identification: see rpc/access.ts");
  return caller;
}
