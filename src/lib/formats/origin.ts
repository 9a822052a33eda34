const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** An origin as browsers write it: scheme, host, and the port unless it is the scheme's; undefined for what is none. */
export function parseOrigin(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const { protocol, href, origin } = new URL(text);
  if (protocol !== "http:" && protocol !== "https:") return undefined;
  // A path is no part of it; the slash that ends a copied address is meant well.
  return href === `${origin}/` ? origin : undefined;
}

/** Whether an origin, as a browser writes it, is of this machine, whatever its port. */
export function isLoopbackOrigin(origin: string): boolean {
  return parseOrigin(origin) === origin && LOOPBACK.has(new URL(origin).hostname);
}
