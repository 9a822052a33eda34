import ipaddr from "ipaddr.js";

/** A CIDR range of an organisation. */
export interface Network {
  id: string;
  cidr: string;
}

/** The ids of the networks that hold one of these addresses. What is not an address or a range matches nothing. */
export function findNetworkIds(networks: readonly Network[], addresses: readonly string[]): string[] {
  const parsed = addresses.flatMap((address) => (ipaddr.isValid(address) ? [ipaddr.process(address)] : []));
  return networks
    .filter(({ cidr }) => {
      if (!ipaddr.isValidCIDR(cidr)) return false;
      const [network, prefixLength] = ipaddr.parseCIDR(cidr);
      return parsed.some((address) => address.kind() === network.kind() && address.match(network, prefixLength));
    })
    .map(({ id }) => id);
}
