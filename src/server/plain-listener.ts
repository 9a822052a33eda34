import { createServer, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "../observe/logger.js";
import type { AdmissionOptions, TurnedAwayReason } from "./admission/admission.js";
import { Peers } from "./admission/peers.js";
import { Connections } from "./connections.js";
import { type ListenOptions, listen } from "./listen.js";
import { answerMalformed } from "./requests/answer-malformed.js";
import { allowOrigins, type CorsPolicy } from "./requests/cors.js";
import { Pipelines } from "./requests/pipelines.js";
import { guardRequests, guardServer, type RequestHandler } from "./requests/request-guard.js";
import { boundRequests, type RequestTiming, requestTiming } from "./requests/request-timing.js";
import type { Listener } from "./rpc-listener.js";

/** Long enough to spare the service, short enough for a rotated key. */
const JWKS_CACHE_CONTROL = "public, max-age=300";

/** What the plain listener takes. */
export interface PlainListenerLimits {
  /** Open at one time. */
  maxConnections: number;
  /** Of the headers of one request. */
  maxHeaderBytes: number;
}

/** How the plain listener is made. */
export interface PlainListenerOptions extends ListenOptions {
  /** Which pages may read what is answered; none unless given. */
  cors?: CorsPolicy;
  /** Why the service is not healthy; undefined when it is. */
  findHealthProblem: () => string | undefined;
  /** Why nobody should be sent here at the moment; undefined when anybody may be. */
  findReadinessProblem: () => Promise<string | undefined>;
  /** The JSON Web Key Set; undefined while there is none yet. */
  jwks: () => unknown;
  /** What `/metrics` answers. */
  renderMetrics: () => Promise<{ contentType: string; text: string }>;
  /** What `/healthz` says in its `Server` header (RFC 9110, 10.2.4). */
  version: string;
  logger: Logger;
  /** Told of each connection that is not kept. */
  onTurnedAway?: AdmissionOptions["onTurnedAway"];
  requests?: Partial<RequestTiming> | undefined;
  limits: PlainListenerLimits;
}

const TEXT = "text/plain; charset=utf-8";
const METHODS = "GET, HEAD, OPTIONS";

/**
 * Listens on plain HTTP: `GET /healthz`, `/readyz`, `/metrics` and `/.well-known/jwks.json`, nothing else. Balancers that check by `OPTIONS`
 * or `HEAD` are answered too.
 */
export async function startPlainListener({
  port,
  address,
  cors,
  findHealthProblem,
  findReadinessProblem,
  jwks,
  renderMetrics,
  version,
  logger,
  onTurnedAway = () => {},
  requests,
  limits,
}: PlainListenerOptions): Promise<Listener> {
  const sendVerdict = (response: ServerResponse, problem: string | undefined) => {
    response.setHeader("Cache-Control", "no-store");
    response.setHeader("Server", `ct-ops-ingest/${version}`);
    send(response, problem === undefined ? 200 : 503, TEXT, problem ?? "ok");
  };
  const handler: RequestHandler<ServerResponse> = async (request, response) => {
    const path = request.url?.split("?", 1)[0];
    if (request.method === "OPTIONS") {
      response.writeHead(204, { Allow: METHODS }).end();
    } else if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("Allow", METHODS);
      send(response, 405, TEXT, `only ${METHODS} here\n`);
    } else if (path === "/healthz") {
      sendVerdict(response, findHealthProblem());
    } else if (path === "/readyz") {
      sendVerdict(response, await findReadinessProblem());
    } else if (path === "/.well-known/jwks.json") {
      sendKeySet(response, jwks());
    } else if (path === "/metrics") {
      const { contentType, text } = await renderMetrics();
      send(response, 200, contentType, text);
    } else {
      send(
        response,
        404,
        TEXT,
        "not found: this port answers /healthz, /readyz, /metrics and /.well-known/jwks.json\n",
      );
    }
  };
  const peers = new Peers();
  const turnAway = (socket: Pick<Socket, "remoteAddress" | "remotePort">, reason: TurnedAwayReason) =>
    onTurnedAway({ remoteAddress: peers.addressOf(socket), reason });
  const pipelines = new Pipelines((socket) => turnAway(socket, "too many pipelined requests"));
  const server = createServer(
    { maxHeaderSize: limits.maxHeaderBytes },
    pipelines.bound(guardRequests(allowOrigins(cors, handler), logger)),
  );
  const timing = requestTiming(requests);
  boundRequests(server, timing);
  answerMalformed(server, timing.restMs, (socket, reason) => turnAway(socket as Socket, reason));
  server.maxConnections = limits.maxConnections;
  server.on("drop", (dropped) => turnAway(dropped ?? {}, "too many connections"));
  // Whoever does not read its answer would keep its place.
  server.setTimeout(timing.requestMs, (socket) => {
    if (pipelines.isAnswering(socket)) turnAway(socket, "answer not read");
    socket.destroy();
  });
  const connections = new Connections(server);
  const boundPort = await listen(server, { port, address });
  guardServer(server, logger, METHODS);
  return {
    port: boundPort,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        connections.cut();
      }),
  };
}

function sendKeySet(response: ServerResponse, keySet: unknown): void {
  response.setHeader("Access-Control-Allow-Origin", "*");
  if (keySet === undefined) {
    send(response, 503, TEXT, "the service is starting\n");
    return;
  }
  response.setHeader("Cache-Control", JWKS_CACHE_CONTROL);
  send(response, 200, "application/json", JSON.stringify(keySet));
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { "Content-Type": contentType, "X-Content-Type-Options": "nosniff" });
  response.end(body);
}
