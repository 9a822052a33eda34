import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { HeartbeatRequestSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { RegisterRequestSchema } from "#gen/agent/v1/registration_pb.js";
import { enrol, heartbeat, openLiveStream, type TestCredentials } from "../support/agents/field-agent.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { startTestService } from "../support/service.js";
import { callRaw, connectRaw, envelope, rawHeaders, readAnswer } from "../support/wire/raw-call.js";
import { untilClosed } from "../support/wire/until-closed.js";

const RESOURCE_EXHAUSTED = 8;
const DEADLINE_EXCEEDED = 4;
const UNAVAILABLE = 14;
const HEADER_BYTES = 4_096;
const MESSAGE_BYTES = 128 * 1024;
const REQUEST_BYTES = 20_000;
const STREAMS = 3;
const PLAIN_CONNECTIONS = 4;
const REGISTER = "/agent.v1.IngestService/Register";
const HEALTH = "GET /healthz HTTP/1.1\r\nHost: x\r\n";

const { logger, lines } = createTestLog();
const service = await startTestService(t, {
  logger,
  env: {
    INGEST_MAX_STREAMS_PER_CONNECTION: String(STREAMS),
    INGEST_MAX_HEADER_BYTES: String(HEADER_BYTES),
    INGEST_MAX_MESSAGE_BYTES: String(MESSAGE_BYTES),
    INGEST_MAX_REQUEST_BYTES: String(REQUEST_BYTES),
    INGEST_MAX_WAITING_BYTES: String(1024 * 1024),
    INGEST_HTTP_MAX_CONNECTIONS: String(PLAIN_CONNECTIONS),
  },
  timing: { requests: { headersMs: 400, requestMs: 800, idleMs: 600, messageMs: 300, restMs: 100 } },
});
const token = await service.createToken();
const agent = await enrol(service, token);
/** Nobody of what follows may disturb it. */
const bystander = await enrol(service, token);
const other = await openLiveStream(service, bystander);

/** How often a port turned somebody away for a reason. */
async function turnedAway(port: "agents" | "plain", reason: string): Promise<number> {
  const metrics = await (await fetch(`http://localhost:${service.httpPort}/metrics`)).text();
  const series = `ct_ops_ingest_connections_turned_away_total{port="${port}",reason="${reason}"} `;
  const line = metrics.split("\n").find((one) => one.startsWith(series));
  return Number(line?.slice(series.length) ?? 0);
}

/** It is counted so often at least, and has one line in the log. */
async function expectTold(t: Test, port: "agents" | "plain", reason: string, atLeast = 1): Promise<void> {
  await eventually(
    () => turnedAway(port, reason),
    (count) => count >= atLeast,
  );
  const told = lines.filter((line) => line.port === port && line.reason === reason);
  t.match(told, [{ msg: "connections were turned away", level: reason === "idle" ? "info" : "warn" }], reason);
}

function openTls(protocol: "h2" | "http/1.1"): Socket {
  return connectTls({ host: "localhost", port: service.grpcPort, ca: service.ca, ALPNProtocols: [protocol] });
}

async function connect(t: Test, credentials?: TestCredentials): Promise<ClientHttp2Session> {
  const session = await connectRaw(service, credentials);
  t.teardown(() => session.destroy());
  return session;
}

const paddedHeartbeat = (bytes: number) =>
  toBinary(
    HeartbeatRequestSchema,
    create(HeartbeatRequestSchema, { agentId: agent.jwt, osVersion: "v".repeat(bytes) }),
  );

t.test("messages of a stream", async (t) => {
  const session = await connect(t, agent);
  const call = { method: "Heartbeat", protocol: "grpc" } as const;
  t.match(await callRaw(session, call, paddedHeartbeat(MESSAGE_BYTES - 2_000)), { code: 0 });
  t.match(await callRaw(session, call, paddedHeartbeat(MESSAGE_BYTES)), {
    code: RESOURCE_EXHAUSTED,
    message: /larger than the 131072 bytes/,
  });
  const json = JSON.stringify({ agentId: agent.jwt, osVersion: "v".repeat(MESSAGE_BYTES / 4) });
  const asJson = { method: "Heartbeat", protocol: "connect stream", format: "json" } as const;
  t.match(await callRaw(session, asJson, Buffer.from(json)), { message: /larger than the 32768 bytes/ });
});

t.test("messages of a unary call, and nobody else notices", async (t) => {
  const refused = async () => {
    const metrics = await (await fetch(`http://localhost:${service.httpPort}/metrics`)).text();
    return Number(/refusals_total\{reason="resource_exhausted"\} (\d+)/.exec(metrics)?.[1] ?? 0);
  };
  const before = await refused();
  const session = await connect(t);
  const register = (bytes: number) =>
    toBinary(RegisterRequestSchema, create(RegisterRequestSchema, { orgToken: "t".repeat(bytes) }));
  const call = { method: "Register", protocol: "grpc" } as const;
  t.match(await callRaw(session, call, register(REQUEST_BYTES - 100)), { code: 3 }, "is read");
  t.match(await callRaw(session, call, register(REQUEST_BYTES)), { code: RESOURCE_EXHAUSTED });
  t.equal(await refused(), before + 1, "is counted");
  t.match(
    lines.filter(({ reason, method }) => reason === "resource_exhausted" && method === "Register"),
    [{ msg: "call refused", level: "warn", told: /larger than the 20000 bytes/ }],
  );
});

t.test("headers of a request", async (t) => {
  const header = "h".repeat(HEADER_BYTES);
  t.match(await untilClosed(t, connectTcp(service.httpPort), `${HEALTH}X: ${header}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  await expectTold(t, "plain", "headers too large");
  const post = `POST ${REGISTER} HTTP/1.1\r\nHost: x\r\nX: ${header}\r\n\r\n`;
  t.match(await untilClosed(t, openTls("http/1.1"), post), /^HTTP\/1\.1 431 /);
  await expectTold(t, "agents", "headers too large");
  const session = await connect(t);
  if (session.remoteSettings.maxHeaderListSize !== HEADER_BYTES) await once(session, "remoteSettings");
  t.equal(session.remoteSettings.maxHeaderListSize, HEADER_BYTES, "clients of HTTP/2 are told");
  const stream = session.request({ ...rawHeaders({ method: "Register", protocol: "grpc" }), "x-long": header });
  const [error] = await once(stream, "error");
  t.match(error, { message: /ENHANCE_YOUR_CALM/ }, "and one that sends them all the same has its call reset");
});

t.test("calls on one connection", async (t) => {
  const session = await connect(t);
  if (session.remoteSettings.maxConcurrentStreams !== STREAMS) await once(session, "remoteSettings");
  t.equal(session.remoteSettings.maxConcurrentStreams, STREAMS);
});

t.test("a connection without a request, and one without another", async (t) => {
  const silent = connectHttp2(`https://${service.address}`, { ca: service.ca });
  t.teardown(() => silent.destroy());
  await Promise.all([once(silent, "goaway"), once(silent, "close")]);
  await expectTold(t, "agents", "no request in time");

  const idle = await connect(t);
  const isClosed = Promise.all([once(idle, "goaway"), once(idle, "close")]);
  await callRaw(idle, { method: "Register", protocol: "grpc" }, Buffer.alloc(0));
  const pings = setInterval(() => !idle.destroyed && idle.ping(() => {}), 50);
  await isClosed.finally(() => clearInterval(pings));
  await expectTold(t, "agents", "idle");

  const before = await turnedAway("agents", "idle");
  const request = `GET ${REGISTER} HTTP/1.1\r\nHost: x\r\n\r\n`;
  t.match(await untilClosed(t, openTls("http/1.1"), request), /^HTTP\/1\.1 405 /);
  await expectTold(t, "agents", "idle", before + 1);
  await untilClosed(t, connectTcp(service.httpPort), "GET ");
  await expectTold(t, "plain", "no request in time");
});

t.test("a stream without a first message", async (t) => {
  const session = await connect(t, agent);
  const stream = session.request(rawHeaders({ method: "Heartbeat", protocol: "grpc" }));
  t.match(await readAnswer(stream, "grpc"), {
    code: DEADLINE_EXCEEDED,
    message: /no first message came within 0\.3 s/,
  });
});

t.test("bytes that wait over all streams", async (t) => {
  // Half of a message each: whoever has waited longest makes room.
  const agents = await Promise.all(Array.from({ length: 10 }, () => enrol(service, token)));
  const sessions = await Promise.all(agents.map((one) => connect(t, one)));
  const waiting = await Promise.all(
    sessions.map((session) => {
      const stream = session.request(rawHeaders({ method: "Heartbeat", protocol: "grpc" }));
      stream.write(envelope(paddedHeartbeat(MESSAGE_BYTES - 2_000)).subarray(0, MESSAGE_BYTES - 4_000));
      return readAnswer(stream, "grpc");
    }),
  );
  const cut = waiting.filter(({ code }) => code === UNAVAILABLE);
  t.match(cut[0], { message: /too many large requests at once/ });
  t.ok(cut.length < waiting.length / 2, `${cut.length} of ${waiting.length}`);
});

t.test("connections of the plain port", async (t) => {
  const held = Array.from({ length: PLAIN_CONNECTIONS + 1 }, () => connectTcp(service.httpPort));
  for (const socket of held) {
    t.teardown(() => socket.destroy());
    socket.on("error", () => {});
  }
  await Promise.race(held.map((socket) => once(socket, "close")));
  for (const socket of held) socket.destroy();
  await expectTold(t, "plain", "too many connections");
});

t.test("nobody else noticed", async (t) => {
  other.send(heartbeat(bystander.agentId));
  t.match(await other.next(), { ok: true });
});
