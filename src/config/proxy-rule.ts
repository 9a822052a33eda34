import { contains, parseAddress, parseCidr } from "../lib/formats/cidr.js";

/** The variables that say from where connections begin with a PROXY header. */
export interface ProxyVariables {
  INGEST_PROXY_PROTOCOL?: boolean | undefined;
  INGEST_TRUSTED_PROXIES?: readonly string[] | undefined;
}

/** Tells whether a connection from an address begins with a PROXY header. */
export function proxyRule(variables: ProxyVariables): (address: string) => boolean {
  const ranges = variables.INGEST_PROXY_PROTOCOL ? (variables.INGEST_TRUSTED_PROXIES ?? []) : [];
  const parsed = ranges.flatMap((range) => parseCidr(range) ?? []);
  return (text) => {
    const address = parsed.length > 0 ? parseAddress(text) : undefined;
    return address !== undefined && parsed.some((range) => contains(range, address));
  };
}
