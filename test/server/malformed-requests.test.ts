import { connect, constants } from "node:http2";
import t, { type Test } from "tap";
import { enrol, heartbeat, openLiveStream, type TestStream } from "../support/agents/field-agent.js";
import { createTestLog, type LogLine } from "../support/log.js";
import { startTestService, type TestService } from "../support/service.js";
import { FrameType, PREFACE, readFrames } from "../support/wire/http2-frames.js";
import {
  type Answer,
  HTTP1_TO_AGENT_PORT,
  HTTP1_TO_BOTH,
  type Http1Case,
  INSTEAD_OF_TLS,
  REGISTER,
} from "../support/wire/malformed-http1.js";
import { HTTP2_FRAMES, HTTP2_REQUESTS, type Http2Case } from "../support/wire/malformed-http2.js";
import { exchange, type Port } from "../support/wire/raw-connection.js";

let service: TestService;
let agentId: string;
/** Open all the while: a service that was ended and started again would have lost it. */
let stream: TestStream;
let log: LogLine[];

t.before(async () => {
  const { logger, lines } = createTestLog();
  log = lines;
  service = await startTestService(t, { logger, timing: { sessionLiveness: { idleMs: 500, pingTimeoutMs: 2_000 } } });
  const agent = await enrol(service, await service.createToken());
  agentId = agent.agentId;
  stream = await openLiveStream(service, agent);
  t.teardown(() => stream.destroy());
});

async function checkThatItServesOn(t: Test): Promise<void> {
  stream.send(heartbeat(agentId));
  t.match(await stream.next(), { ok: true }, "the service serves on");
  t.same(
    log.filter(({ level }) => level === "error"),
    [],
    "and foresaw it all",
  );
}

const UNDERSTOOD = '"code":"invalid_argument"';

/** How a request of HTTP/1 is answered. */
async function answerOverHttp1(port: Port, { bytes, end, answer }: Http1Case): Promise<Answer> {
  const received = await exchange(service, port, {
    bytes: Buffer.from(bytes, "latin1"),
    ...(end && { end }),
    isEnough: (bytes) => bytes.includes(answer === "understood" ? UNDERSTOOD : "\r\n\r\n"),
  });
  const text = received.bytes.toString("latin1");
  if (text.includes(UNDERSTOOD)) return "understood";
  if (answer === 405) t.match(text, /\r\nallow: .+\r\n/i, "it says which methods there are");
  const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
  return status === undefined ? undefined : Number(status);
}

/** How a request of HTTP/2 is answered; undefined for a reset. */
async function answerOverHttp2({ headers }: Http2Case): Promise<Answer> {
  const session = connect(`https://${service.address}`, { ca: service.ca });
  const call = session.request({
    ":method": "POST",
    ":path": REGISTER,
    "content-type": "application/json",
    ...headers,
  });
  let status: number | undefined;
  call.on("response", (answer) => {
    status = Number(answer[constants.HTTP2_HEADER_STATUS]);
    if (status === 405) t.ok(answer.allow, "it says which methods there are");
  });
  let body = "";
  try {
    if (call.writable) call.end("{}");
    for await (const chunk of call) body += chunk;
  } catch (error) {
    t.match(error, { code: "ERR_HTTP2_STREAM_ERROR" }, "nothing else than a reset");
  }
  session.destroy();
  return body.includes(UNDERSTOOD) ? "understood" : status;
}

function checkAnswers(t: Test, cases: readonly { name: string; answer?: Answer }[], shown: readonly Answer[]): void {
  for (const [index, { name, answer }] of cases.entries()) {
    const got = shown[index];
    const isRefused = typeof got !== "number" || got >= 400;
    t.ok(answer === undefined ? isRefused : got === answer, `${name}: ${answer ?? "refused"}`, { got });
  }
}

for (const [port, cases] of [
  ["TLS, HTTP/1", HTTP1_TO_AGENT_PORT],
  ["TLS, HTTP/1", HTTP1_TO_BOTH],
  ["plain", HTTP1_TO_BOTH],
] as const) {
  t.test(`${port}, ${cases.length} requests`, async (t) => {
    checkAnswers(t, cases, await Promise.all(cases.map((request) => answerOverHttp1(port, request))));
    await checkThatItServesOn(t);
  });
}

t.test(`HTTP/2, ${HTTP2_REQUESTS.length} requests`, async (t) => {
  checkAnswers(t, HTTP2_REQUESTS, await Promise.all(HTTP2_REQUESTS.map(answerOverHttp2)));
  await checkThatItServesOn(t);
});

t.test(`HTTP/2, ${HTTP2_FRAMES.length} exchanges of frames that no client library sends`, async (t) => {
  const answers: number[] = [FrameType.headers, FrameType.rstStream, FrameType.goaway];
  for (const { name, frames } of HTTP2_FRAMES) {
    const answer = await exchange(service, "TLS, HTTP/2", {
      bytes: Buffer.concat([PREFACE, ...frames]),
      isEnough: (received) => readFrames(received).some(({ type }) => answers.includes(type)),
    });
    t.ok(answer.bytes.length > 0, name);
  }
  await checkThatItServesOn(t);
});

t.test(`no TLS where it is expected, ${INSTEAD_OF_TLS.length} times`, async (t) => {
  for (const { name, bytes, reset } of INSTEAD_OF_TLS) {
    const answer = await exchange(service, "TLS, no handshake", { bytes, end: true, ...(reset && { reset }) });
    t.ok(answer.closed, name);
  }
  await checkThatItServesOn(t);
});
