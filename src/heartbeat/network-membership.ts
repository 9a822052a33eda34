import { contains, parseAddress, parseCidr } from "../lib/formats/cidr.js";

/** A CIDR range of an organisation. */
export interface Network {
  id: string;
  cidr: string;
}

/** The ids of the networks that hold one of these addresses. What is not an address or a range matches nothing. */
export function findNetworkIds(networks: readonly Network[], addresses: readonly string[]): string[] {
  const parsed = addresses.flatMap((address) => parseAddress(address) ?? []);
  return networks
    .filter(({ cidr }) => {
      const range = parseCidr(cidr);
      return range !== undefined && parsed.some((address) => contains(range, address));
    })
    .map(({ id }) => id);
}
