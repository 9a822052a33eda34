import type { X509Certificate } from "node:crypto";
import { request } from "node:https";
import { createServer, connect as openConnection } from "node:net";
import { connect as connectTls } from "node:tls";
import { type ListenOptions, listen } from "../listen.js";

const PROBE_PATH = "/agent.v1.IngestService/Register";

/** Listened on for every one. */
const ANY_ADDRESS = new Set(["::", "0.0.0.0"]);

/** Whether a port could be listened on: undefined when it could, else why not. */
export async function probePort(on: ListenOptions): Promise<string | undefined> {
  const server = createServer();
  try {
    await listen(server, on);
  } catch (error) {
    const cause = (error as Error).cause as NodeJS.ErrnoException;
    return cause.code === "EADDRINUSE" ? "in use" : cause.message;
  }
  await new Promise((resolve) => server.close(resolve));
  return undefined;
}

/** What a service that runs on this machine shows of itself. */
export interface RunningService {
  /** The version that it says it has; undefined for one of the earlier service. */
  version: string | undefined;
}

/** The host to ask at. */
function hostOf({ address }: ListenOptions): string {
  return address === undefined || ANY_ADDRESS.has(address) ? "localhost" : address;
}

/** A port for agents of this machine. */
export interface AgentPort extends ListenOptions {
  /** Whether a connection from this address has to begin with a PROXY header. */
  isProxy: (address: string) => boolean;
}

/** Speaks for nobody, as the health checks of balancers do. */
const OWN_PROXY_HEADER = "PROXY UNKNOWN\r\n";

/**
 * Asks what listens for agents on a port of this machine.
 *
 * @returns the certificate that it shows; undefined when it is no ingest service, or does not answer in time
 */
export function probeAgentPort(on: AgentPort, timeoutMs: number): Promise<X509Certificate | undefined> {
  return new Promise((resolve) => {
    let certificate: X509Certificate | undefined;
    const where = { port: on.port, host: hostOf(on) };
    const socket = openConnection(where);
    // A balancer may run on this machine as well.
    socket.once("connect", () => {
      if (on.isProxy((socket.localAddress ?? "").replace(/^::ffff:/, ""))) socket.write(OWN_PROXY_HEADER);
    });
    // It is looked at, not trusted.
    const secured = connectTls({ socket, rejectUnauthorized: false });
    secured.once("secureConnect", () => {
      certificate = secured.getPeerX509Certificate();
    });
    const call = request({ ...where, path: PROBE_PATH, timeout: timeoutMs, createConnection: () => secured });
    const end = (isService: boolean) => {
      call.destroy();
      socket.destroy();
      resolve(isService ? certificate : undefined);
    };
    // It knows the method, which is no GET.
    call.once("response", ({ statusCode }) => end(statusCode === 405));
    call.once("timeout", () => end(false)).on("error", () => end(false));
    call.end();
  });
}

/**
 * Asks what listens on a port of this machine for plain HTTP.
 *
 * @returns undefined when it publishes no keys, or does not answer in time
 */
export async function probePlainPort(on: ListenOptions, timeoutMs: number): Promise<RunningService | undefined> {
  const host = hostOf(on).includes(":") ? `[${hostOf(on)}]` : hostOf(on);
  const ask = (path: string) => fetch(`http://${host}:${on.port}${path}`, { signal: AbortSignal.timeout(timeoutMs) });
  try {
    const keySet: unknown = await (await ask("/.well-known/jwks.json")).json();
    if (typeof keySet !== "object" || keySet === null || !("keys" in keySet)) return undefined;
    const { headers } = await ask("/healthz");
    const [, version] = /^ct-ops-ingest\/(\S{1,64})$/.exec(headers.get("server") ?? "") ?? [];
    return { version };
  } catch {
    return undefined;
  }
}
