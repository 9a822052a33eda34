import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { HeartbeatRequestSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { RegisterRequestSchema } from "#gen/agent/v1/registration_pb.js";
import { createTestCsr, createTestKey, enrol, type TestCredentials } from "../support/agents/field-agent.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { startTestService } from "../support/service.js";
import { connectRaw, envelope, type RawProtocol, rawHeaders } from "../support/wire/raw-call.js";

const ID = /^[a-z][a-z0-9]{23}$/;
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
/** What is no traceparent, or one of no trace (W3C Trace Context, 3.2). */
const MALFORMED = [
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE}-${SPAN}-01-more`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${"0".repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${"0".repeat(16)}-01`,
  `ff-${TRACE}-${SPAN}-01`,
  `01-${TRACE}-${SPAN}-01more`,
  `00-${TRACE}0-${SPAN}-01`,
  ` 00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
  `00-${TRACE}\\n-${SPAN}-01`,
  `{"msg":"agent enrolled"}`,
];

const { logger, lines } = createTestLog();
const service = await startTestService(t, { logger });
const token = await service.createToken();

/** The lines of a call, once there are so many. */
const linesOf = (id: unknown, count = 1) =>
  eventually(
    async () => lines.filter(({ requestId }) => requestId === id),
    (found) => found.length >= count,
  );

interface Sent {
  method: "Register" | "Heartbeat" | "RenewCertificate";
  protocol?: RawProtocol;
  headers?: Record<string, string>;
  message?: Uint8Array;
}

async function send(t: Test, { method, protocol = "grpc", headers, message }: Sent, credentials?: TestCredentials) {
  const session = await connectRaw(service, credentials);
  t.teardown(() => session.destroy());
  const stream = session.request(rawHeaders({ method, protocol, ...(headers && { headers }) }));
  stream.on("error", () => {}).resume();
  const bytes = message ?? new Uint8Array();
  stream.write(protocol === "connect unary" ? bytes : envelope(bytes));
  if (method !== "Heartbeat") stream.end();
  const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
  return { stream, session, id: answer["x-request-id"] };
}

let machines = 0;
function registration(): Uint8Array {
  const key = createTestKey();
  const request = {
    orgToken: token,
    publicKey: key.spkiPem,
    csrDer: createTestCsr(key),
    hostname: `traced-${machines++}`,
  };
  return toBinary(RegisterRequestSchema, create(RegisterRequestSchema, request));
}

t.test("whoever is refused can quote the line of the log", async (t) => {
  const ids = new Set<unknown>();
  for (const protocol of ["grpc", "grpc-web", "connect unary"] as const) {
    const { id } = await send(t, { method: "Register", protocol });
    t.match(id, ID, protocol);
    t.match(await linesOf(id), [{ msg: "call refused", method: "Register", reason: "invalid_field" }]);
    ids.add(id);
  }
  const { id } = await send(t, { method: "Heartbeat" });
  t.match(id, ID, "of a stream");
  t.match(await linesOf(id), [{ msg: "call refused", method: "Heartbeat" }]);
  t.equal(ids.add(id).size, 4, "each has its own");
  const plain = await fetch(`http://localhost:${service.httpPort}/healthz`);
  t.match(plain.headers.get("x-request-id"), ID, "on the plain port");
});

t.test("the trace of a caller is taken over, when it is one", async (t) => {
  for (const traceparent of [`00-${TRACE}-${SPAN}-01`, `00-${TRACE}-${SPAN}-ff`, `01-${TRACE}-${SPAN}-01-more`]) {
    const { id } = await send(t, { method: "Register", headers: { traceparent }, message: registration() });
    t.match(await linesOf(id), [{ traceId: TRACE }], traceparent);
  }
  for (const traceparent of MALFORMED) {
    const { id } = await send(t, { method: "Register", headers: { traceparent }, message: registration() });
    const [line] = await linesOf(id);
    t.notOk("traceId" in (line ?? {}), traceparent);
  }
  const before = lines.length;
  const { id } = await send(t, {
    method: "Register",
    headers: { "x-request-id": "chosen-by-the-caller" },
    message: registration(),
  });
  await linesOf(id);
  t.notMatch(JSON.stringify(lines.slice(before)), /chosen-by-the-caller/);
});

t.test("all lines of a stream have the id of its call", async (t) => {
  const agent = await enrol(service, token, { hostname: "traced" });
  const message = toBinary(HeartbeatRequestSchema, create(HeartbeatRequestSchema, { agentId: agent.jwt }));
  const headers = { traceparent: `00-${TRACE}-${SPAN}-01` };
  const { stream, id } = await send(t, { method: "Heartbeat", headers, message }, agent);
  stream.end();
  const found = await linesOf(id, 2);
  t.match(
    found.map(({ msg }) => msg),
    ["heartbeat stream opened", "heartbeat stream ended"],
  );
  for (const { traceId } of found) t.equal(traceId, TRACE);
});
