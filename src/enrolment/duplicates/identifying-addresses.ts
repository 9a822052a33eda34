import { type Cidr, contains, parseAddress, parseCidr } from "../../lib/formats/cidr.js";

/** Ranges that say nothing of which machine it is, whatever is configured. */
const NEVER_IDENTIFYING: ReadonlySet<string> = new Set([
  "unspecified",
  "loopback",
  "linkLocal",
  "multicast",
  "broadcast",
]);

/**
 * Of a machine's addresses no more than this count: whoever reports very many has something to do with very many other
 * machines.
 */
const MAX_IDENTIFYING = 32;
/** What is looked at to find them. */
const MAX_ADDRESSES = 512;
const MAX_ADDRESS_LENGTH = 64;

/** Picks, of the addresses of a machine, those that tell it from others. */
export class IdentifyingAddresses {
  readonly #ignored: readonly Cidr[];

  /** @param ignored further ranges in CIDR notation, which were checked before */
  constructor(ignored: readonly string[]) {
    this.#ignored = ignored.flatMap((range) => parseCidr(range) ?? []);
  }

  /** The first 32 identifying ones, in their canonical form, each once; what is not an address is left out. */
  pick(addresses: readonly string[]): string[] {
    const picked = new Set<string>();
    for (const text of addresses.slice(0, MAX_ADDRESSES)) {
      if (picked.size === MAX_IDENTIFYING) break;
      if (text.length > MAX_ADDRESS_LENGTH) continue;
      const address = parseAddress(text);
      if (address === undefined || NEVER_IDENTIFYING.has(address.range())) continue;
      if (!this.#ignored.some((range) => contains(range, address))) picked.add(address.toString());
    }
    return [...picked];
  }
}
