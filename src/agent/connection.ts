import type { ClientHttp2Session } from "node:http2";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { IngestService } from "#gen/agent/v1/ingest_pb.js";
import { waitPatiently } from "../lib/async/wait-patiently.js";

type SessionManager = NonNullable<Parameters<typeof createGrpcTransport>[0]["sessionManager"]>;

/** As installed agents do it; without, a service that is gone without a word is never noticed. */
const PING_INTERVAL_MS = 30_000;
const PING_TIMEOUT_MS = 10_000;
/** Without it, a service that takes the connection and says nothing would be waited for for ever. */
const CONNECT_TIMEOUT_MS = 20_000;

/** Where the service is, and how to know it. */
export interface ServiceAddress {
  /** `host:port`. */
  address: string;
  /** PEM of the CA that the server certificate is checked against; without it the system's roots. */
  ca?: string;
  /** How long connecting may take, TLS included, in milliseconds; 20 seconds unless told otherwise. */
  connectTimeoutMs?: number;
}

/** What the agent presents in the TLS handshake. */
export interface ClientCredentials {
  certificatePem: string;
  privateKeyPem: string;
}

const TRANSPORTS = { grpc: createGrpcTransport, "grpc-web": createGrpcWebTransport, connect: createConnectTransport };

/** What can be spoken over a connection. */
export type Protocol = keyof typeof TRANSPORTS;

/** One TLS connection to the service. */
export interface Connection {
  client: Client<typeof IngestService>;
  /** Cuts the connection; calls under way fail. */
  close(): void;
}

/** Prepares a connection, which is made with the first call. Each has its own, as each installed agent has. */
export function openConnection(
  { address, ca, connectTimeoutMs = CONNECT_TIMEOUT_MS }: ServiceAddress,
  credentials?: ClientCredentials,
  protocol: Protocol = "grpc",
): Connection {
  const baseUrl = `https://${address}`;
  const manager = new Http2SessionManager(baseUrl, undefined, {
    ...(ca !== undefined && { ca }),
    ...(credentials && { cert: credentials.certificatePem, key: credentials.privateKeyPem }),
  });
  const watched = new WeakSet<ClientHttp2Session>();
  const sessionManager: SessionManager = {
    authority: manager.authority,
    request: async (method, path, headers, options) => {
      const timer = setTimeout(
        () => manager.abort(new ConnectError(`not connected within ${connectTimeoutMs} ms`, Code.Unavailable)),
        connectTimeoutMs,
      );
      const stream = await manager.request(method, path, headers, options).finally(() => clearTimeout(timer));
      const session = stream.session as ClientHttp2Session | undefined;
      if (session !== undefined && !watched.has(session)) {
        watched.add(session);
        watch(session);
      }
      return stream;
    },
    notifyResponseByteRead: (stream) => manager.notifyResponseByteRead(stream),
  };
  const transport = TRANSPORTS[protocol]({ baseUrl, httpVersion: "2", sessionManager });
  return { client: createClient(IngestService, transport), close: () => manager.abort() };
}

function watch(session: ClientHttp2Session): void {
  // A session reports its error after its streams have: the manager, aborted in between, listens no longer, and an
  // error that nobody listens to ends the process.
  session.on("error", () => {});
  // Not the manager's own pings: it sends them on a destroyed session too, which throws (connect-es issue 1795).
  const interval = setInterval(() => {
    if (session.destroyed) return;
    const stopWaiting = waitPatiently(PING_TIMEOUT_MS, () =>
      session.destroy(new ConnectError("the service does not answer pings", Code.Unavailable)),
    );
    session.ping(stopWaiting);
  }, PING_INTERVAL_MS).unref();
  session.once("close", () => clearInterval(interval));
}
