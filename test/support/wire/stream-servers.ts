import { once } from "node:events";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import type { Interceptor, ServiceImpl } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import type { Test } from "tap";
import { IngestService } from "#gen/agent/v1/ingest_pb.js";
import { ByteBudget } from "../../../dist/lib/bounds/byte-budget.js";
import { createLogger } from "../../../dist/observe/logger.js";
import { createGrpcStreamHandler } from "../../../dist/rpc/grpc-stream/grpc-stream-handler.js";
import { createConnectHandler } from "../../../dist/rpc/http/connect-handler.js";
import type { NodeHandler } from "../../../dist/rpc/node-request.js";
import { endWithAnswer } from "../../../dist/server/requests/end-with-answer.js";
import { guardRequests } from "../../../dist/server/requests/request-guard.js";
import { answerStreams, type StreamHandler } from "../../../dist/server/requests/stream-guard.js";

/** How long the rest of a request may take that is answered. */
const REST_MS = 5_000;

/** What a stream does. */
export type HeartbeatImpl = ServiceImpl<typeof IngestService>["heartbeat"];

/** Two servers of one method, without TLS: with our own handler, and with Connect's. Both are behind the same screen. */
export interface StreamServers {
  ours: StreamServer;
  connects: StreamServer;
  /** What both do from now on. */
  implementation: HeartbeatImpl;
  interceptor: Interceptor;
}

/** One of the two. */
export interface StreamServer {
  url: string;
  /** The stream of the newest call. */
  newestStream(): ServerHttp2Stream;
  /** What the messages that are being read take. */
  heldBytes(): number;
  /** Tells every connection to go away, and lets what is under way on it end. */
  goAway(): void;
}

/** Of messages. */
export const MAX_BYTES = 100_000;
export const COMPRESS_MIN_BYTES = 1_000;

/** Answers each message with its `agent_id`. */
export const echo: HeartbeatImpl = async function* (requests) {
  for await (const { agentId } of requests) yield { ok: true, command: agentId };
};

/** @param budgetBytes what the messages that are being read may take at each of the two */
export async function startStreamServers(t: Test, budgetBytes = 1_000_000): Promise<StreamServers> {
  const unused = () => {
    throw new Error("not called here");
  };
  const interceptor: Interceptor = (next) => (request) => servers.interceptor(next)(request);
  const options = {
    service: IngestService,
    implementation: {
      register: unused,
      renewCertificate: unused,
      submitSoftwareInventory: unused,
      terminal: unused,
      heartbeat: (...call: Parameters<HeartbeatImpl>) => servers.implementation(...call),
    },
    limitsOf: () => ({ maxBytes: MAX_BYTES, maxElements: 100, acceptsGzip: true }),
    compressMinBytes: COMPRESS_MIN_BYTES,
    interceptors: [interceptor],
    acceptCompression: [compressionGzip, compressionBrotli],
    binaryOptions: { readUnknownFields: false },
  };
  const budgets = { unary: new ByteBudget(0), stream: new ByteBudget(budgetBytes) };
  const answerStream = createGrpcStreamHandler({ ...options, budgets });
  const budgetsOfConnect = { unary: new ByteBudget(0), stream: new ByteBudget(budgetBytes) };
  const answer = createConnectHandler({ ...options, budgets: budgetsOfConnect });
  const servers: StreamServers = {
    ours: {
      ...(await startServer(t, answer, answerStream)),
      heldBytes: () => budgets.stream.held,
    },
    connects: { ...(await startServer(t, answer)), heldBytes: () => budgetsOfConnect.stream.held },
    implementation: echo,
    interceptor: (next) => next,
  };
  return servers;
}

/** As the product's listener does it. */
async function startServer(
  t: Test,
  handler: NodeHandler,
  streamHandler?: StreamHandler,
): Promise<Omit<StreamServer, "heldBytes">> {
  const sessions = new Set<ServerHttp2Session>();
  let newest: ServerHttp2Stream | undefined;
  const logger = createLogger("silent");
  const server = createServer(
    guardRequests((request, response, call) => {
      endWithAnswer(request, response, REST_MS);
      return handler(request, response, call);
    }, logger),
  );
  if (streamHandler !== undefined) answerStreams(server, { handler: streamHandler, logger });
  server.on("stream", (stream) => {
    newest = stream;
  });
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  server.listen(0, "localhost");
  await once(server, "listening");
  t.teardown(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    newestStream: () => newest as ServerHttp2Stream,
    goAway: () => {
      for (const session of sessions) session.close();
    },
  };
}
