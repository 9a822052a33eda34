import type { AddressInfo } from "node:net";
import { type ConnectionOptions, connect, createServer, type TLSSocket } from "node:tls";

const TIMEOUT_MS = 5_000;
/** What OpenSSL says of a chain whose signatures no client would take. */
const USELESS = new Set([
  "CERT_SIGNATURE_FAILURE",
  "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
  "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
  "EE_KEY_TOO_SMALL",
  "CA_KEY_TOO_SMALL",
  "CA_MD_TOO_WEAK",
]);

/** A certificate (chain) and its key, PEM. */
export interface CertificatePair {
  cert: string;
  key: string;
}

/**
 * Makes a handshake with itself: a key that no cipher suite takes, or a damaged chain, shows itself only there, and then in
 * every agent.
 *
 * @throws Error with one line when no client could connect
 */
export async function tryHandshake({ cert, key }: CertificatePair): Promise<void> {
  const server = createServer({ minVersion: "TLSv1.2", ALPNProtocols: ["h2"] });
  try {
    server.setSecureContext({ cert, key });
  } catch (cause) {
    throw useless(cause);
  }
  let refusal: Error | undefined;
  server.on("tlsClientError", (error) => {
    refusal = error;
  });
  server.on("secureConnection", (socket: TLSSocket) => socket.on("error", () => {}));
  // Exclusive: workers of one service would otherwise get each other's connections.
  const where = { port: 0, host: "127.0.0.1", exclusive: true };
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(where, resolve));
  try {
    const { port } = server.address() as AddressInfo;
    // The last certificate stands for what clients trust: all before it are verified by the one that follows.
    const anchor = cert.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)?.at(-1) ?? cert;
    const options: ConnectionOptions = { ca: anchor, allowPartialTrustChain: true };
    const problem = await handshake({ port, host: "127.0.0.1", ALPNProtocols: ["h2"], ...options });
    if (problem === undefined) return;
    // The server knows why, if it was the one that gave up.
    throw useless(refusal ?? problem);
  } finally {
    server.close();
  }
}

function useless(cause: unknown): Error {
  const { reason, message } = cause as Error & { reason?: string };
  return new Error(`no client could connect with the server certificate: ${reason ?? message}`);
}

/** Why a client gave up; undefined when it did not. */
function handshake(options: ConnectionOptions): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ ...options, rejectUnauthorized: false, timeout: TIMEOUT_MS });
    const end = (problem?: Error) => {
      socket.destroy();
      resolve(problem);
    };
    socket.once("secureConnect", () => {
      const { authorizationError } = socket;
      end(USELESS.has(String(authorizationError)) ? new Error(`${authorizationError}`) : undefined);
    });
    socket.once("timeout", () => end(new Error("the handshake did not end"))).once("error", end);
  });
}
