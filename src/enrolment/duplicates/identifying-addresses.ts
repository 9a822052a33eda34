import { type Cidr, contains, parseAddress, parseCidr } from "../../lib/cidr.js";

/** Ranges that say nothing of which machine it is, whatever is configured. */
const NEVER_IDENTIFYING: ReadonlySet<string> = new Set([
  "unspecified",
  "loopback",
  "linkLocal",
  "multicast",
  "broadcast",
]);

/** Picks, of the addresses of a machine, those that tell it from others. */
export class IdentifyingAddresses {
  readonly #ignored: readonly Cidr[];

  /** @param ignored further ranges in CIDR notation, which were checked before */
  constructor(ignored: readonly string[]) {
    this.#ignored = ignored.flatMap((range) => parseCidr(range) ?? []);
  }

  /** The identifying ones in their canonical form, each once, in their order; what is not an address is left out. */
  pick(addresses: readonly string[]): string[] {
    const identifying = addresses.flatMap((text) => {
      const address = parseAddress(text);
      if (address === undefined || NEVER_IDENTIFYING.has(address.range())) return [];
      return this.#ignored.some((range) => contains(range, address)) ? [] : [address.toString()];
    });
    return [...new Set(identifying)];
  }
}
