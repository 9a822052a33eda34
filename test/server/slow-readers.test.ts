import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import t from "tap";
import { ServerReflectionRequestSchema } from "#gen/grpc/reflection/v1/reflection_pb.js";
import { startPlainListener } from "../../dist/server/plain-listener.js";
import { eventually } from "../support/eventually.js";
import { LIMITS } from "../support/limits.js";
import { createTestLog } from "../support/log.js";
import { startTestService } from "../support/service.js";
import { envelope } from "../support/wire/raw-call.js";

const METRICS_BYTES = 32 * 1024 * 1024;
/** More than the windows of flow control, which both ends have, take of it. */
const REQUESTS_BYTES = 4 * 1024 * 1024;
const LOOKS = 10;

t.test("whoever does not read its answer on the plain port loses its place", async (t) => {
  const turnedAway: string[] = [];
  const listener = await startPlainListener({
    port: 0,
    findHealthProblem: () => undefined,
    findReadinessProblem: async () => undefined,
    jwks: () => ({}),
    renderMetrics: async () => ({ contentType: "text/plain", text: "m".repeat(METRICS_BYTES) }),
    version: "0.0.0",
    logger: createTestLog().logger,
    limits: LIMITS,
    requests: { headersMs: 200, requestMs: 400 },
    onTurnedAway: ({ reason }) => turnedAway.push(reason),
  });
  t.teardown(() => listener.close());
  const socket = connectTcp(listener.port);
  t.teardown(() => socket.destroy());
  socket.on("error", () => {}).pause();
  socket.write("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  await eventually(
    async () => turnedAway,
    ([reason]) => reason === "answer not read",
  );
  const read = await fetch(`http://localhost:${listener.port}/metrics`);
  t.equal((await read.text()).length, METRICS_BYTES, "who reads gets all of it");
});

t.test("whoever asks for methods and reads no answer is not read from any more", async (t) => {
  const service = await startTestService(t, { env: { INGEST_REFLECTION: "true" } });
  const session = connectHttp2(`https://${service.address}`, { ca: service.ca, settings: { initialWindowSize: 0 } });
  t.teardown(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  const question = create(ServerReflectionRequestSchema, {
    messageRequest: { case: "fileContainingSymbol", value: "agent.v1.IngestService" },
  });
  const bytes = envelope(toBinary(ServerReflectionRequestSchema, question));
  stream.write(Buffer.concat(Array(Math.ceil(REQUESTS_BYTES / bytes.length)).fill(bytes)));
  await once(stream, "response");
  // What was sent stays the same while the service goes round and round.
  const sent = () => session.socket.bytesWritten;
  let before = -1;
  let looksAlike = 0;
  await eventually(
    async () => {
      await new Promise((resolve) => session.ping(resolve));
      // Pings are sent as well.
      looksAlike = sent() - before < 1_000 ? looksAlike + 1 : 0;
      before = sent();
      return looksAlike;
    },
    (alike) => alike === LOOKS,
  );
  t.ok(before < REQUESTS_BYTES / 2, `${before} bytes were taken`);
});
