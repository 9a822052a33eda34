import type { Interceptor } from "@connectrpc/connect";
import type { Test } from "tap";
import { message, RawStream, type StreamAnswer } from "./raw-stream.js";
import { echo, type HeartbeatImpl, type StreamServer, type StreamServers } from "./stream-servers.js";

/** One call that both handlers are to answer alike. */
export interface StreamCase {
  name: string;
  /** Beside those that every call has. */
  headers?: Record<string, string | undefined>;
  /** Of the caller's connection. */
  settings?: { initialWindowSize?: number };
  /** Answers each message unless given. */
  implementation?: HeartbeatImpl;
  interceptor?: Interceptor;
  /** What the caller does; sends one message and ends its side unless given. */
  send?: (call: RawStream, server: StreamServer) => unknown;
  /** The status; `HTTP 415` where there is none of gRPC. */
  code: number | string;
  message?: string | RegExp;
  /** How many messages it is answered with. */
  answers?: number;
  /** How the stream of HTTP/2 ends; in order unless given. */
  rstCode?: number;
  /** Where Connect answers otherwise: why, and what. */
  connects?: { why: string; answer: object };
}

/** Makes the call to both, and compares headers, messages, trailers and the end of the stream. */
export async function expectAlike(t: Test, servers: StreamServers, oneCase: StreamCase): Promise<void> {
  const ours = await answerOf(servers, servers.ours, oneCase);
  const connects = await answerOf(servers, servers.connects, oneCase);
  const { name, code, answers = 0, rstCode = 0 } = oneCase;
  t.equal(codeOf(ours), code, `${name}: ${JSON.stringify(ours)}`);
  if (oneCase.message !== undefined) t.match(ours.trailers["grpc-message"], oneCase.message, name);
  t.equal(ours.messages.length, answers, `${name}: answers`);
  t.equal(ours.rstCode, rstCode, `${name}: code of the end`);
  if (oneCase.connects === undefined) t.same(ours, connects, `${name}: as Connect answers`);
  else t.match(connects, oneCase.connects.answer, `${name}: where ours differs: ${oneCase.connects.why}`);
}

function codeOf({ headers, trailers }: StreamAnswer): number | string | undefined {
  const status = headers[":status"];
  if (status === undefined) return undefined;
  return status === 200 ? Number(trailers["grpc-status"]) : `HTTP ${status}`;
}

async function answerOf(servers: StreamServers, server: StreamServer, oneCase: StreamCase): Promise<StreamAnswer> {
  const { headers, settings, implementation = echo, interceptor = (next) => next, send = sendOne } = oneCase;
  Object.assign(servers, { implementation, interceptor });
  const call = await RawStream.open(server.url, headers, settings);
  await send(call, server);
  const { headers: answered, ...rest } = await call.answer();
  // No two are alike.
  const { "x-request-id": _, ...alike } = answered;
  return { headers: alike, ...rest };
}

function sendOne(call: RawStream): void {
  call.write(message("a"));
  call.stream.end();
}
