import ipaddr from "ipaddr.js";

/** A range of IP addresses. */
export interface Cidr {
  network: ipaddr.IPv4 | ipaddr.IPv6;
  prefixLength: number;
}

/** The bits by which IPv4 that is written as IPv6 (`::ffff:192.0.2.1`) is longer. */
const MAPPED_BITS = 96;

/** An IPv4 or IPv6 address; IPv4 that is written as IPv6 is IPv4, and a zone is left out. Undefined for anything else. */
export function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  const [address = ""] = text.split("%");
  // The short forms of IPv4 ("10.1", "0x7f.1") are nothing that a machine reports.
  const isAddress = address.includes(":") ? ipaddr.isValid(address) : ipaddr.IPv4.isValidFourPartDecimal(address);
  return isAddress ? ipaddr.process(address) : undefined;
}

/** The one form of an address (RFC 5952); text that is none, or has a zone, as it is. */
export function canonicalAddress(text: string): string {
  return text.includes("%") ? text : (parseAddress(text)?.toString() ?? text);
}

/** A range in CIDR notation, or a single address; undefined when it is neither. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = "", prefix, ...rest] = text.split("/");
  const network = parseAddress(address);
  if (network === undefined || address.includes("%") || rest.length > 0) return undefined;
  const bits = network.toByteArray().length * 8;
  if (prefix === undefined) return { network, prefixLength: bits };
  if (!/^\d{1,3}$/.test(prefix)) return undefined;
  const isMapped = network.kind() === "ipv4" && address.includes(":");
  const prefixLength = Number(prefix) - (isMapped ? MAPPED_BITS : 0);
  return prefixLength < 0 || prefixLength > bits ? undefined : { network, prefixLength };
}

/** Whether a range holds an address. */
export function contains({ network, prefixLength }: Cidr, address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return address.kind() === network.kind() && address.match(network, prefixLength);
}
