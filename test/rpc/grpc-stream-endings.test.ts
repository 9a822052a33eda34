import { once } from "node:events";
import { constants } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import t from "tap";
import { HeartbeatResponseSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { message, RawStream } from "../support/wire/raw-stream.js";
import { expectAlike, type StreamCase } from "../support/wire/stream-cases.js";
import { echo, type HeartbeatImpl, startStreamServers } from "../support/wire/stream-servers.js";

/** Fails before the first answer. */
const failing = (error: unknown): HeartbeatImpl =>
  // biome-ignore lint/correctness/useYield: it has no answer
  async function* () {
    throw error;
  };

const failingLater = (error: unknown): HeartbeatImpl =>
  async function* (requests) {
    yield* echo(requests, undefined as never);
    throw error;
  };

/** Waits until the call is over, and fails with what ended it. */
// biome-ignore lint/correctness/useYield: it has no answer
const waiting: HeartbeatImpl = async function* (_, { signal }) {
  if (!signal.aborted) await once(signal, "abort");
  throw signal.reason;
};

const detailed = new ConnectError("detailed", Code.FailedPrecondition, { "x-reason": "why" }, [
  { desc: HeartbeatResponseSchema, value: { command: "details" } },
]);

const told = (text: string) => ({ implementation: failing(new ConnectError(text, Code.Aborted)), code: 10 });

const cases: StreamCase[] = [
  { name: "an error before the first answer", ...told("why"), message: "why" },
  {
    name: "an error after an answer",
    implementation: failingLater(new ConnectError("why", Code.NotFound)),
    code: 5,
    answers: 1,
  },
  {
    name: "an error that is no status",
    implementation: failing(new Error("secret")),
    code: 13,
    message: "internal error",
  },
  { name: "an error that is nothing", implementation: failing(null), code: 13, message: "internal error" },
  { name: "an error with details and metadata", implementation: failing(detailed), code: 9, message: "detailed" },
  {
    name: "a message of other letters",
    ...told("prix: 5 €, naïve\r\n100% \u{1f600}"),
    message: "prix: 5 €, naïve\r\n100% \u{1f600}",
  },
  { name: "a message with space around it", ...told("  why  "), message: "  why  " },
  { name: "a message that is empty", ...told(""), message: "" },
  {
    name: "a message that is too long",
    ...told(`${"é".repeat(1_000)} end`),
    message: /^é{300,}\.\.\.$/,
    connects: { why: "clients refuse headers of more than 8 KiB", answer: { trailers: { "grpc-message": /end$/ } } },
  },
  {
    name: "a message with half a surrogate pair",
    ...told("half \ud83d"),
    message: "half \ufffd",
    connects: { why: "it cannot write such a message, and has no status", answer: { headers: { ":status": 500 } } },
  },
  {
    name: "headers and trailers of the method",
    implementation: async function* (requests, { responseHeader, responseTrailer }) {
      responseHeader.set("x-head", "h");
      responseTrailer.append("x-trail", "t1");
      responseTrailer.append("x-trail", "t2");
      yield* echo(requests, undefined as never);
    },
    code: 0,
    answers: 1,
  },
  {
    name: "trailers of a method that fails",
    implementation: async function* (_, { responseTrailer }) {
      responseTrailer.set("x-trail", "t");
      yield { ok: true };
      throw detailed;
    },
    code: 9,
    answers: 1,
  },
  {
    name: "what the method is told of the call",
    headers: { "x-own": "o", "grpc-timeout": "10S" },
    implementation: async function* (_, { requestHeader, requestMethod, protocolName, timeoutMs, method, service }) {
      const isTimed = (timeoutMs() ?? 0) > 5_000;
      const facts = [requestHeader.get("x-own"), requestMethod, protocolName, isTimed, method.name, service.typeName];
      yield { ok: true, command: facts.join() };
    },
    code: 0,
    answers: 1,
  },
  {
    name: "an interceptor that refuses",
    interceptor: () => async () => {
      throw new ConnectError("who are you?", Code.Unauthenticated);
    },
    code: 16,
    message: "who are you?",
  },
  {
    name: "an interceptor that changes messages, headers and trailers",
    interceptor: (next) => async (request) => {
      const response = await next(request);
      const message = (async function* () {
        for await (const one of response.message as AsyncIterable<object>) yield { ...one, command: "changed" };
      })();
      return {
        ...response,
        message,
        header: new Headers([...response.header, ["x-head", "h"]]),
        trailer: new Headers([...response.trailer, ["x-trail", "t"]]),
      } as never;
    },
    code: 0,
    answers: 1,
  },
  {
    name: "an answer without a look at the request",
    implementation: async function* () {
      yield { ok: true };
    },
    code: 0,
    answers: 1,
  },
  {
    name: "an answer to a caller that has more to say",
    implementation: failingLater(new ConnectError("enough", Code.Aborted)),
    interceptor: (next) => (request) =>
      next({ ...request, message: firstOf(request.message as AsyncIterable<object>) } as never),
    send: (call) => call.write(message("a")),
    code: 10,
    answers: 1,
  },
  { name: "a caller that says nothing", ...told("enough"), send: () => {} },
  {
    name: "trailers of the caller",
    send: (call) => {
      call.stream.on("wantTrailers", () => call.stream.sendTrailers({ "x-trail": "t" }));
      call.write(message("a"));
      call.stream.end();
    },
    code: 0,
    answers: 1,
  },

  {
    name: "a deadline",
    headers: { "grpc-timeout": "5m" },
    implementation: waiting,
    code: 4,
    message: "the operation timed out",
  },
  { name: "no time at all", headers: { "grpc-timeout": "0S" }, implementation: waiting, code: 4 },
  {
    name: "a deadline beyond what a timer holds",
    headers: { "grpc-timeout": "99999999H" },
    implementation: async function* (_, { signal }) {
      // A timer that was set to it would fire at once, and so before this one.
      await new Promise((resolve) => setTimeout(resolve, 20));
      signal.throwIfAborted();
      yield {};
    },
    code: 0,
    answers: 1,
  },
  {
    name: "a deadline that is none",
    headers: { "grpc-timeout": "soon" },
    code: 3,
    message: /invalid grpc timeout value: soon/,
  },
  { name: "a deadline without a unit", headers: { "grpc-timeout": "100" }, code: 3 },

  { name: "another kind of content", headers: { "content-type": "application/grpc+thrift" }, code: "HTTP 415" },
  { name: "no kind of content", headers: { "content-type": undefined }, code: "HTTP 415" },
  {
    name: "parameters of the content",
    headers: { "content-type": "application/grpc; charset=utf-8" },
    code: "HTTP 415",
  },
  { name: "its whole name", headers: { "content-type": "application/grpc+proto" }, code: 0, answers: 1 },
  { name: "capital letters", headers: { "content-type": "Application/GRPC" }, code: 0, answers: 1 },
  { name: "another method of HTTP", headers: { ":method": "PUT" }, code: "HTTP 405" },
  { name: "a method that is not there", headers: { ":path": "/agent.v1.IngestService/Nothing" }, code: 12 },
  { name: "a query", headers: { ":path": "/agent.v1.IngestService/Heartbeat?a=1" }, code: 0, answers: 1 },

  {
    name: "a server that goes away goes on with what is under way",
    send: async (call, server) => {
      call.write(message("a"));
      await call.received(1);
      server.goAway();
      await once(call.session, "goaway");
      call.write(message("b"));
      call.stream.end();
    },
    code: 0,
    answers: 2,
  },
  {
    name: "a caller that says it goes away is answered",
    send: async (call) => {
      call.write(message("a"));
      await call.received(1);
      call.session.goaway();
      call.write(message("b"));
      call.stream.end();
    },
    code: 0,
    answers: 2,
  },
];

async function* firstOf<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const message of messages) {
    yield message;
    return;
  }
}

t.test("calls end as with Connect", async (t) => {
  const servers = await startStreamServers(t);
  for (const oneCase of cases) await expectAlike(t, servers, oneCase);
});

t.test("trailers that HTTP/2 does not allow cost the call, and not the process", async (t) => {
  const servers = await startStreamServers(t);
  // biome-ignore lint/correctness/useYield: it has no answer
  servers.implementation = async function* (_, { responseTrailer }) {
    responseTrailer.set("connection", "close");
  };
  const call = await RawStream.open(servers.ours.url);
  t.match(await call.answer(), { rstCode: constants.NGHTTP2_INTERNAL_ERROR, trailers: {} });
});
