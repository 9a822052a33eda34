import { parseAddress } from "./cidr.js";

/** The hextets of an IPv6 address that name its network: a machine has all of that network's addresses to itself. */
const NETWORK_HEXTETS = 4;
/** Those that name its site: whoever has one has 65,536 networks. */
const SITE_HEXTETS = 3;

/** What a caller's address counts as: itself, or its IPv6 network (/64), and the IPv6 site (/48) that this belongs to. */
export function addressSource(address: string): { source: string; site?: string } {
  const parsed = parseAddress(address);
  if (parsed?.kind() !== "ipv6") return { source: address };
  const hextets = parsed.toNormalizedString().split(":");
  return {
    source: `${hextets.slice(0, NETWORK_HEXTETS).join(":")}::/64`,
    site: `${hextets.slice(0, SITE_HEXTETS).join(":")}::/48`,
  };
}
