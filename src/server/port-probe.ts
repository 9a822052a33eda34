import { createServer } from "node:net";
import { connect } from "node:tls";
import { listen } from "./listen.js";

/** Whether a port could be listened on: undefined when it could, else why not. */
export async function probePort(port: number): Promise<string | undefined> {
  const server = createServer();
  try {
    await listen(server, port);
  } catch (error) {
    const cause = (error as Error).cause as NodeJS.ErrnoException;
    return cause.code === "EADDRINUSE" ? "in use" : cause.message;
  }
  await new Promise((resolve) => server.close(resolve));
  return undefined;
}

/** The certificate (DER) that a TLS server on this machine shows; undefined when none answers in time. */
export function readServedCertificate(port: number, timeoutMs: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    // It is compared, not trusted.
    const socket = connect({ port, host: "localhost", rejectUnauthorized: false, timeout: timeoutMs });
    const end = (certificate?: Buffer) => {
      socket.destroy();
      resolve(certificate);
    };
    socket.once("secureConnect", () => end(socket.getPeerX509Certificate()?.raw));
    socket.once("timeout", () => end()).once("error", () => end());
  });
}
