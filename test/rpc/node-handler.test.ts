import { once } from "node:events";
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import t, { type Test } from "tap";
import { IngestService } from "#gen/agent/v1/ingest_pb.js";
import type { RegisterRequest } from "#gen/agent/v1/registration_pb.js";
import { createLogger } from "../../dist/observe/logger.js";
import { createNodeHandlers } from "../../dist/rpc/http/node-handler.js";
import { answerStreams } from "../../dist/server/requests/stream-guard.js";
import { envelope, type RawCall, rawHeaders, readAnswer } from "../support/wire/raw-call.js";

const CALLS = 30;

/**
 * Serves calls, and tells in which turn of the event loop each of them began, and what registrations there were.
 *
 * @param onStream is told of each call and how many there were so far
 */
async function startServer(t: Test, onStream: (stream: ServerHttp2Stream, count: number) => void = () => {}) {
  let turn = 0;
  const next = () => {
    turn++;
    counting = setImmediate(next);
  };
  let counting = setImmediate(next);
  const begun: number[] = [];
  const registrations: RegisterRequest[] = [];
  const unused = () => {
    throw new Error("not called here");
  };
  const { answer, answerStream } = createNodeHandlers({
    service: IngestService,
    implementation: {
      register: (request) => {
        registrations.push(request);
        return {};
      },
      renewCertificate: unused,
      submitSoftwareInventory: unused,
      terminal: unused,
      heartbeat: unused,
    },
    interceptors: [
      (next) => (request) => {
        begun.push(turn);
        return next(request);
      },
    ],
    limitsOf: () => ({ maxBytes: 1_000, maxElements: 10, acceptsGzip: false }),
  });
  let streams = 0;
  const server = createServer((request, response) => {
    request.on("error", () => {});
    answer(request, response, { requestId: "one" }).catch(() => {});
  });
  answerStreams(server, { handler: answerStream, logger: createLogger("silent") });
  server.on("stream", (stream) => onStream(stream, ++streams));
  await once(server.listen(0), "listening");
  const session = connect(`http://localhost:${(server.address() as AddressInfo).port}`);
  t.teardown(async () => {
    clearImmediate(counting);
    session.destroy();
    server.close();
    await once(server, "close");
  });
  const call = (method: RawCall["method"], message = Buffer.alloc(0)) => {
    const stream = session.request(rawHeaders({ method, protocol: "grpc" }));
    stream.on("error", () => {});
    stream.end(envelope(message));
    return stream;
  };
  return { begun, registrations, call };
}

t.test("of calls that arrive together one begins in each turn of the event loop", async (t) => {
  const { begun, call } = await startServer(t);
  const answers = await Promise.all(Array.from({ length: CALLS }, () => readAnswer(call("Register"), "grpc")));
  t.match(
    answers,
    answers.map(() => ({ code: 0 })),
  );
  t.equal(new Set(begun).size, CALLS, "each has a turn of its own");
});

t.test("a call whose caller is gone when its turn comes does not begin", async (t) => {
  const { begun, call } = await startServer(t, ({ session }, count) => {
    if (count === CALLS) session?.destroy();
  });
  await Promise.all(Array.from({ length: CALLS }, () => once(call("Heartbeat"), "close")));
  for (let turn = 0; turn < 2 * CALLS; turn++) await new Promise(setImmediate);
  t.ok(begun.length < CALLS / 2, `${begun.length} began`);
});

t.test("a field that nobody knows is not kept", async (t) => {
  const { registrations, call } = await startServer(t);
  const token = Buffer.from([0x0a, 1, 0x61]);
  const unknown = Buffer.from([0x7a, 1, 0x62]);
  t.match(await readAnswer(call("Register", Buffer.concat([token, unknown])), "grpc"), { code: 0 });
  const [registration] = registrations;
  t.equal(registration?.orgToken, "a");
  t.equal(registration?.$unknown, undefined);
});
