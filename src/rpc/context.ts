import { type ContextValues, createContextKey, createContextValues } from "@connectrpc/connect";
import type { Caller } from "../identity/caller.js";

/** The other end of the connection a call came over. */
export interface Peer {
  /** IP address, without port. */
  address: string;
  /** The client certificate it presented, DER, not verified; undefined without one. */
  certificateDer: Uint8Array | undefined;
  /** Ends the stream of this call at once, and what is still to be written; nothing happens to one that is over. */
  reset(): void;
}

/** The peer of a call. */
export const peerKey = createContextKey<Peer>(
  { address: "", certificateDer: undefined, reset: () => {} },
  { description: "peer" },
);

/** What a registration claims, proven or not, for the record of refusals. */
export interface Claim {
  /** As it was sent. */
  publicKey: string;
  hostname: string;
}

/** What the registration that is under way claims. */
export const claimKey = createContextKey<Claim | undefined>(undefined, { description: "claim" });

/** Who is calling; set for every method that needs a client certificate. */
export const callerKey = createContextKey<Caller | undefined>(undefined, { description: "caller" });

/** The context values a call starts with. */
export function contextValuesOf(peer: Peer): ContextValues {
  return createContextValues().set(peerKey, peer);
}

/** The caller of a method that needs a client certificate. */
export function requireCaller(values: ContextValues): Caller {
  const caller = values.get(callerKey);
  if (caller === undefined) throw new Error("this method is called without identification: see rpc/access.ts");
  return caller;
}
