import type { AddressInfo, Server } from "node:net";

/**
 * Listens on IPv6 and IPv4, or on IPv4 alone where the machine has no IPv6.
 *
 * @returns the port, which is a free one if 0 was asked for
 * @throws Error with one line that says which port could not be had, and why
 */
export function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "it is in use by another process" : cause.message;
      reject(new Error(`cannot listen on port ${port}: ${why}`, { cause }));
    };
    server.once("error", onError);
    server.listen(port, () => {
      server.off("error", onError);
      resolve((server.address() as AddressInfo).port);
    });
  });
}
