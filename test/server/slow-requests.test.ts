import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import t from "tap";
import { startTestService, type TestService } from "../support/service.js";
import { connectRaw, type RawProtocol, rawHeaders, readAnswer } from "../support/wire/raw-call.js";

const TIMING = { requests: { handshakeMs: 200, headersMs: 200, requestMs: 400, restMs: 100, messageMs: 200 } };
const TRICKLE_MS = 20;
const PATH = "/agent.v1.IngestService/Register";
const POST = `POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: application/`;

type Port = "plain" | "TLS" | "TLS, no handshake";

function open(service: TestService, port: Port): Socket {
  if (port !== "TLS") return connectTcp(port === "plain" ? service.httpPort : service.grpcPort);
  return connectTls({ host: "localhost", port: service.grpcPort, ca: service.ca, ALPNProtocols: ["http/1.1"] });
}

/** What comes until the service closes the connection, after these bytes and, if there is more, that one byte at a time. */
function untilClosed(socket: Socket, bytes: string, more: string): Promise<string> {
  return new Promise((resolve) => {
    let received = "";
    socket.write(bytes);
    const left = [...more];
    const trickle = setInterval(() => socket.write(left.shift() ?? "", () => {}), TRICKLE_MS);
    socket.on("data", (piece: Buffer) => {
      received += piece;
    });
    socket.on("error", () => {});
    socket.once("close", () => {
      clearInterval(trickle);
      resolve(received);
    });
  });
}

const service = await startTestService(t, { timing: TIMING });

t.test("a connection that does not say all of its request is ended", async (t) => {
  const cases: [name: string, port: Port, bytes: string, answer: RegExp, more?: string][] = [
    ["nothing", "plain", "", /^HTTP\/1.1 408 /],
    ["half of the headers", "plain", "GET /healthz HTTP/1.1\r\nHost: x\r\nX", /^HTTP\/1.1 408 /],
    ["headers that trickle", "plain", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", /^HTTP\/1.1 408 /, "y".repeat(1_000)],
    ["half of a body", "plain", "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx", /^HTTP\/1.1 200 /],
    ["half of a body", "plain", `${POST}json\r\n\r\n{`, /^HTTP\/1.1 405 /],
    ["no handshake", "TLS, no handshake", "", /^$/],
    ["a handshake that trickles", "TLS, no handshake", "\x16\x03\x01\x02\x00", /^$/, "\x01".repeat(500)],
    ["nothing", "TLS", "", /^HTTP\/1.1 408 /],
    ["half of the headers", "TLS", POST, /^HTTP\/1.1 408 /],
    ["headers that trickle", "TLS", POST, /^HTTP\/1.1 408 /, "y".repeat(1_000)],
    ["half of a body", "TLS", `${POST}json\r\n\r\n{`, /^HTTP\/1.1 504 .*"deadline_exceeded"/s],
    ["a body that trickles", "TLS", `${POST}json\r\n\r\n{`, /^HTTP\/1.1 504 .*"deadline_exceeded"/s, " ".repeat(90)],
    ["half of an envelope", "TLS", `${POST}grpc-web+proto\r\n\r\n\0\0`, /^HTTP\/1.1 200 .*grpc-status: 4/s],
    [
      "half of what no method is",
      "TLS",
      `${POST.replace("Register", "X")}json\r\n\r\n{`,
      /^HTTP\/1.1 501 .*"unimplemented"/s,
    ],
  ];
  await Promise.all(
    cases.map(async ([name, port, bytes, answer, more = ""]) =>
      t.match(await untilClosed(open(service, port), bytes, more), answer, `${port}: ${name}`),
    ),
  );
});

t.test("a message of HTTP/2 that does not end is answered in each protocol", async (t) => {
  const session = await connectRaw(service);
  t.teardown(() => session.destroy());
  const protocols: [RawProtocol, number | string][] = [
    ["grpc", 4],
    ["grpc-web", 4],
    ["connect unary", "deadline_exceeded"],
  ];
  for (const [protocol, code] of protocols) {
    for (const [name, bytes, isTrickling] of [
      ["nothing", "", false],
      ["half of an envelope", "\0\0\0", false],
      ["a message that trickles", "\0\0\0\x01\0", true],
    ] as const) {
      const stream = session.request(rawHeaders({ method: "Register", protocol }));
      stream.on("error", () => {});
      stream.write(bytes);
      const trickle = setInterval(() => isTrickling && stream.writable && stream.write("\0"), TRICKLE_MS);
      const answer = await readAnswer(stream, protocol).finally(() => clearInterval(trickle));
      t.match(answer, { code, message: /did not arrive within/ }, `${protocol}: ${name}`);
    }
  }
});

t.test("nor is the one message waited for that makes a stream of answers", async (t) => {
  const session = await connectRaw(service);
  t.teardown(() => session.destroy());
  const stream = session.request({
    ...rawHeaders({ method: "Register", protocol: "grpc" }),
    ":path": "/grpc.health.v1.Health/Watch",
  });
  stream.write("\0\0");
  t.match(await readAnswer(stream, "grpc"), { code: 4 });
});

t.test("a handshake that is not done in time is closed in that moment", async (t) => {
  const patient = await startTestService(t, { timing: { requests: { handshakeMs: 50, restMs: 600_000 } } });
  t.equal(await untilClosed(open(patient, "TLS, no handshake"), "", ""), "");
});
