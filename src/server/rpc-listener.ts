import { constants } from "node:crypto";
import { createSecureServer } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Logger } from "../observe/logger.js";
import {
  Admission,
  type AdmissionLimits,
  type AdmissionOptions,
  type AdmissionTiming,
  type TurnedAwayReason,
} from "./admission/admission.js";
import type { Peers } from "./admission/peers.js";
import { Connections } from "./connections.js";
import { describeHandshakeFailure, type HandshakeFailure, isPlainHttp, watchForHttp2 } from "./handshake-failure.js";
import { type ListenOptions, listen } from "./listen.js";
import { keepAlpnApart } from "./own-alpn.js";
import { type CertificatePair, tryHandshake } from "./probes/trial-handshake.js";
import { answerMalformed } from "./requests/answer-malformed.js";
import { allowOrigins, type CorsPolicy } from "./requests/cors.js";
import { endWithAnswer } from "./requests/end-with-answer.js";
import { Pipelines } from "./requests/pipelines.js";
import { guardRequests, guardServer, type RequestHandler } from "./requests/request-guard.js";
import { boundRequests, type RequestTiming, requestTiming } from "./requests/request-timing.js";
import { answerStreams, type StreamHandler } from "./requests/stream-guard.js";
import { type SessionLivenessTiming, SessionWatch } from "./session-watch.js";

/** Installed agents probe at this interval too. */
const TCP_KEEP_ALIVE_MS = 15_000;
/** How long connections that were told to go away may take before they are cut. */
const CLOSE_GRACE_MS = 2_000;

/** What one connection may do. */
export interface ConnectionLimits {
  /** Streams at one time; an agent has three at most. */
  maxStreams: number;
  maxResetsPerSecond: number;
  /** Of the headers of one request. */
  maxHeaderBytes: number;
}

/** A listener that runs. */
export interface Listener {
  port: number;
  /** Stops accepting, and closes every connection: at once where nothing is under way, after a moment elsewhere. */
  close(): Promise<void>;
}

/** A listener for agents that runs. */
export interface RpcListener extends Listener {
  /** How many connections are open, and how many of them wait for their TLS handshake. */
  readonly connections: number;
  readonly waitingConnections: number;
  /**
   * Shows another certificate to new connections; those that are open keep theirs.
   *
   * @throws Error with one line when no client could connect with it; the one before is shown on
   */
  replaceCertificate(pair: CertificatePair): Promise<void>;
  /** Accepts no connection any more, and tells those that are open to go away; what is under way on them goes on. */
  stopAccepting(): void;
}

/** Who answers. */
export interface RpcHandlers {
  answer: RequestHandler;
  /** Asked first about each stream of HTTP/2; nobody unless given. */
  answerStream?: StreamHandler;
}

/** How agents are listened to. */
export interface RpcListenerOptions extends CertificatePair, ListenOptions {
  /** Which pages may call, and read what is answered; none unless given. */
  cors?: CorsPolicy;
  handlers: RpcHandlers;
  logger: Logger;
  /** Told of each TLS handshake that failed, unless the client hung up. */
  onHandshakeFailure?: (failure: HandshakeFailure) => void;
  /** Told of each one that did not. */
  onHandshake?: () => void;
  timing?: Partial<SessionLivenessTiming> | undefined;
  requests?: Partial<RequestTiming> | undefined;
  limits: AdmissionLimits & ConnectionLimits;
  peers: Peers;
  /** Told of each connection that is not let in, or not kept. */
  onTurnedAway?: AdmissionOptions["onTurnedAway"];
  admission?: Partial<AdmissionTiming> | undefined;
}

/** Of the methods of HTTP, each answer 405 names those that there are (RFC 9110, 15.5.6). */
const METHODS = "POST, OPTIONS";

/**
 * Listens for agents: TLS 1.2 or later, HTTP/2, and HTTP/1.1 for Connect clients that speak nothing else. A client
 * certificate is asked for and left to the service to verify: with a `ca` here, installed agents whose issuer is not
 * listed would present none, and one that expired could not even register.
 */
export async function startRpcListener(options: RpcListenerOptions): Promise<RpcListener> {
  const { port, address, cors, cert, key, handlers, logger, onHandshake, onHandshakeFailure, timing } = options;
  const { limits, peers, onTurnedAway = () => {} } = options;
  const requests = requestTiming(options.requests);
  const context = {
    minVersion: "TLSv1.2",
    // A resumed session does not present its client certificate again. Holds for TLS 1.3 as well.
    secureOptions: constants.SSL_OP_NO_TICKET,
  } as const;
  await tryHandshake({ cert, key });
  const answer = allowOrigins(cors, handlers.answer);
  const turnAway = (socket: Pick<Socket, "remoteAddress" | "remotePort">, reason: TurnedAwayReason) =>
    onTurnedAway({ remoteAddress: peers.addressOf(socket), reason });
  const pipelines = new Pipelines((socket) => turnAway(socket, "too many pipelined requests"));
  const server = createSecureServer(
    {
      ...context,
      cert,
      key,
      allowHTTP1: true,
      // Nothing is read before a connection may begin its handshake.
      pauseOnConnect: true,
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: requests.handshakeMs,
      // Agents are answered once on a connection: a table of what was answered would be kept for each, for nothing.
      maxDeflateDynamicTableSize: 0,
      settings: { maxConcurrentStreams: limits.maxStreams, maxHeaderListSize: limits.maxHeaderBytes },
    },
    pipelines.bound(
      guardRequests((request, response, call) => {
        endWithAnswer(request, response, requests.restMs);
        return answer(request, response, call);
      }, logger),
    ),
  );
  keepAlpnApart(server);
  if (handlers.answerStream !== undefined) answerStreams(server, { handler: handlers.answerStream, cors, logger });
  boundRequests(server, requests);
  // Of HTTP/1.1, for which a server of HTTP/2 has no options: it would keep idle connections for good.
  Object.assign(server, { keepAliveTimeout: requests.idleMs, maxHeaderSize: limits.maxHeaderBytes });
  server.on("timeout", (socket: Socket) => {
    if (!pipelines.isAnswering(socket)) turnAway(socket, "idle");
    socket.destroy();
  });
  answerMalformed(server, requests.restMs, (socket, reason) => turnAway(socket as Socket, reason));
  // What Node does with a new connection; a few at a time are given to it.
  const [startTls] = server.listeners("connection") as [(socket: Socket) => void];
  server.off("connection", startTls);
  const connections = new Connections(server);
  const admission = new Admission({
    limits,
    timing: options.admission,
    peers,
    startTls: (socket) => startTls.call(server, socket),
    onFailure: (failure) => onHandshakeFailure?.(failure),
    onTurnedAway,
  });
  server.on("connection", (socket: Socket) => admission.admit(socket));
  const sessions = new SessionWatch({
    liveness: timing,
    idle: requests,
    maxResetsPerSecond: limits.maxResetsPerSecond,
    onEnded: ({ socket }, reason) => turnAway(socket, reason),
  });
  let closed: Promise<void> | undefined;
  const stopAccepting = () => {
    closed ??= new Promise((resolve) => server.close(() => resolve()));
    connections.cutHandshaking();
    // The server's own close() leaves HTTP/2 sessions open.
    sessions.close();
    return closed;
  };
  server.on("session", (session) => {
    sessions.add(session, connections.beneath(session));
    // Its handshake was under way when the others were told.
    if (closed !== undefined) session.close();
  });
  server.on("tlsClientError", (error, socket: Socket) => {
    const reason = describeHandshakeFailure(error);
    if (isPlainHttp(error)) admission.answerPlainHttp(socket);
    admission.handshakeDone(socket);
    if (reason !== undefined) onHandshakeFailure?.({ remoteAddress: peers.addressOf(socket), reason });
  });
  server.on("secureConnection", (socket: TLSSocket) => {
    socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS);
    admission.handshakeDone(socket);
    onHandshake?.();
    watchForHttp2(socket, (reason) => onHandshakeFailure?.({ remoteAddress: peers.addressOf(socket), reason }));
  });
  const boundPort = await listen(server, { port, address });
  guardServer(server, logger, METHODS);
  return {
    port: boundPort,
    get connections() {
      return connections.count;
    },
    get waitingConnections() {
      return admission.waiting;
    },
    replaceCertificate: async (pair) => {
      await tryHandshake(pair);
      server.setSecureContext({ ...context, cert: pair.cert, key: pair.key });
    },
    stopAccepting,
    close: async () => {
      const cut = setTimeout(() => connections.cut(), CLOSE_GRACE_MS);
      await stopAccepting();
      clearTimeout(cut);
      sessions.stop();
    },
  };
}
