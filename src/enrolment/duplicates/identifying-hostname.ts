/** The loopback names of /etc/hosts in Red Hat's and Debian's spelling, with the domains that are put behind them. */
const LOOPBACK = ["localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback"];
const LOOPBACK_DOMAINS = ["localdomain", "localdomain4", "localdomain6", "local", "(none)"];

/** Hostnames that machines have which were never given one. */
const NAMELESS: ReadonlySet<string> = new Set([
  "",
  // An agent that cannot read its own.
  "unknown",
  // The kernel's, before somebody sets one (Linux, init/Kconfig: DEFAULT_HOSTNAME), and FreeBSD's (rc.d/hostname).
  "(none)",
  "amnesiac",
  ...LOOPBACK,
  ...LOOPBACK.flatMap((name) => LOOPBACK_DOMAINS.map((domain) => `${name}.${domain}`)),
]);

/** The hostname, unless it is one that tells nothing of which machine it is. A dot at its end means the same name. */
export function identifyingHostname(hostname: string): string | undefined {
  const name = hostname.replace(/\.+$/, "");
  return NAMELESS.has(name.toLowerCase()) ? undefined : name;
}
