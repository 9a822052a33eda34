import type { AddressInfo, Server } from "node:net";

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: "it is in use by another process",
  EADDRNOTAVAIL: "this machine does not have that address",
};

/** Where to listen. */
export interface ListenOptions {
  /** 0 for a free one. */
  port: number;
  /** An IP address of this machine; every one of them unless given. */
  address?: string | undefined;
}

/**
 * Listens; without an address on IPv6 and IPv4, or on IPv4 alone where the machine has no IPv6.
 *
 * @returns the port, which is a free one if 0 was asked for
 * @throws Error with one line that says which port could not be had, and why
 */
export function listen(server: Server, { port, address }: ListenOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException) => {
      const why = WHY[cause.code ?? ""] ?? cause.message;
      const where = address === undefined ? `port ${port}` : `port ${port} of ${address}`;
      reject(new Error(`cannot listen on ${where}: ${why}`, { cause }));
    };
    server.once("error", onError);
    server.listen({ port, ...(address !== undefined && { host: address }) }, () => {
      server.off("error", onError);
      resolve((server.address() as AddressInfo).port);
    });
  });
}
