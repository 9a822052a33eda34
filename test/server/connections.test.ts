import { once } from "node:events";
import { stat } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import type { Writable } from "node:stream";
import { connect as connectTls } from "node:tls";
import t, { type Test } from "tap";
import { createDevServerCertificate } from "../../dist/identity/server-certificate/server-certificate.js";
import { Peers } from "../../dist/server/admission/peers.js";
import { startPlainListener } from "../../dist/server/plain-listener.js";
import type { RequestHandler } from "../../dist/server/requests/request-guard.js";
import { type RpcListener, startRpcListener } from "../../dist/server/rpc-listener.js";
import type { SessionLivenessTiming } from "../../dist/server/session-watch.js";
import { eventually } from "../support/eventually.js";
import { LIMITS } from "../support/limits.js";
import { createTestLog } from "../support/log.js";
import { Flag, FrameType, frame, PREFACE, readFrames } from "../support/wire/http2-frames.js";

const { cert, key } = await createDevServerCertificate(["localhost"]);

async function start(
  t: Test,
  timing?: Partial<SessionLivenessTiming>,
  answer: RequestHandler = (_request, response) => void response.end(),
): Promise<RpcListener> {
  const { logger } = createTestLog();
  const listener = await startRpcListener({
    port: 0,
    cert,
    key,
    logger,
    timing,
    handlers: { answer },
    limits: LIMITS,
    peers: new Peers(),
  });
  t.teardown(() => listener.close());
  return listener;
}

async function connected(t: Test, socket: Socket, event: string): Promise<Socket> {
  t.teardown(() => socket.destroy());
  socket.on("error", () => {});
  await once(socket, event);
  return socket;
}

const connectSecurely = (port: number, protocol: string) =>
  connectTls({ host: "localhost", port, ca: cert, ALPNProtocols: [protocol] });

/** Connections on which nothing is under way, in every state that one can be in. */
async function idleConnections(t: Test, port: number): Promise<Socket[]> {
  const half = await connected(t, connectTcp(port), "connect");
  half.write(Buffer.from("16030102000100", "hex"));
  const settled = await connected(t, connectSecurely(port, "h2"), "secureConnect");
  settled.write(PREFACE);
  const kept = await connected(t, connectSecurely(port, "http/1.1"), "secureConnect");
  kept.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await Promise.all([once(settled, "data"), once(kept, "data")]);
  return [
    await connected(t, connectTcp(port), "connect"),
    half,
    await connected(t, connectSecurely(port, "h2"), "secureConnect"),
    await connected(t, connectSecurely(port, "http/1.1"), "secureConnect"),
    settled,
    kept,
  ];
}

t.test("connections that are idle, handshake done or not, do not hold up closing", async (t) => {
  const listener = await start(t);
  const idle = await idleConnections(t, listener.port);
  const ended = idle.map((socket) => once(socket.resume(), "close"));
  const startedAt = performance.now();
  await listener.close();
  t.ok(performance.now() - startedAt < 1_000, `closed after ${performance.now() - startedAt} ms`);
  await Promise.all(ended);
});

t.test("neither do those of the plain listener", async (t) => {
  const { logger } = createTestLog();
  const listener = await startPlainListener({
    limits: LIMITS,
    port: 0,
    findHealthProblem: () => undefined,
    findReadinessProblem: async () => undefined,
    jwks: () => ({}),
    renderMetrics: async () => ({ contentType: "text/plain", text: "" }),
    version: "1",
    logger,
  });
  const idle = await connected(t, connectTcp(listener.port), "connect");
  const half = await connected(t, connectTcp(listener.port), "connect");
  half.write("GET /heal");
  await fetch(`http://localhost:${listener.port}/healthz`);
  const startedAt = performance.now();
  await Promise.all([listener.close(), once(idle, "close"), once(half, "close")]);
  t.ok(performance.now() - startedAt < 1_000);
});

t.test("a session that Node stopped reading is cut, one that is idle is not", async (t) => {
  const listener = await start(t, { idleMs: 100, pingTimeoutMs: 100 });
  const honest = connectHttp2(`https://localhost:${listener.port}`, { ca: cert });
  t.teardown(() => honest.destroy());
  let pings = 0;
  honest.on("ping", () => {
    pings += 1;
  });
  const malformed = await connected(t, connectSecurely(listener.port, "h2"), "secureConnect");
  // An index of HPACK's table that there is not.
  malformed.write(
    Buffer.concat([PREFACE, frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, Buffer.from([0x80]))]),
  );
  let received = Buffer.alloc(0);
  malformed.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
  });
  await once(malformed, "close");
  t.ok(readFrames(received).some(({ type }) => type === FrameType.goaway));
  while (pings < 3) await once(honest, "ping");
  t.notOk(honest.destroyed);
});

t.test("a connection that is reset between two writes is closed, although Node does not notice", async (t) => {
  let answer: (response: Writable) => void = () => {};
  const answered = new Promise<Writable>((resolve) => {
    answer = resolve;
  });
  const listener = await start(t, { idleMs: 100, pingTimeoutMs: 100 }, (_request, response) => answer(response));
  const socket = await connected(t, connectTcp(listener.port, "127.0.0.1"), "connect");
  const session = connectHttp2("https://localhost", {
    createConnection: () => connectTls({ socket, servername: "localhost", ca: cert, ALPNProtocols: ["h2"] }),
  });
  session.on("error", () => {});
  const call = session.request();
  call.on("error", () => {});
  const response = await answered;
  response.write("begun");
  await once(call, "data");
  // What follows comes when Node has looked for what there is to read, and before it writes.
  await stat(".");
  socket.resetAndDestroy();
  response.write("one");
  response.write("two");
  const open = async () => listener.connections;
  t.equal(await eventually(open, (count) => count === 0), 0);
});

t.test("what is under way when the listener stops accepting is finished, and nothing else begins", async (t) => {
  const { logger } = createTestLog();
  let answer = () => {};
  const begun = new Promise<void>((resolve) => {
    answer = resolve;
  });
  let finish = () => {};
  const handler: RequestHandler = (_request, response) => {
    finish = () => void response.end("finished");
    answer();
  };
  const listener = await startRpcListener({
    port: 0,
    cert,
    key,
    logger,
    handlers: { answer: handler },
    limits: LIMITS,
    peers: new Peers(),
  });
  t.teardown(() => listener.close());
  const session = connectHttp2(`https://localhost:${listener.port}`, { ca: cert });
  t.teardown(() => session.destroy());
  const call = session.request();
  await begun;

  const toldToGo = once(session, "goaway");
  listener.stopAccepting();
  await toldToGo;
  const late = connectTcp(listener.port);
  t.match((await once(late, "error"))[0], { code: "ECONNREFUSED" });
  finish();
  let body = "";
  for await (const chunk of call) body += chunk;
  t.equal(body, "finished");
  await listener.close();
});

t.test("of the header fields of answers nothing is kept for the next one", async (t) => {
  const listener = await start(t, undefined, (_request, response) => {
    response.setHeader("x-some", "value");
    response.end();
  });
  const session = connectHttp2(`https://localhost:${listener.port}`, { ca: cert });
  t.teardown(() => session.destroy());
  for (let call = 0; call < 2; call++) {
    const [headers] = await once(session.request().resume(), "response");
    t.match(headers, { ":status": 200, "x-some": "value" });
  }
  t.equal(session.state.inflateDynamicTableSize, 0);
});

t.test("a connection keeps its own bytes of what its handshake offered, and no pool of Node's", async (t) => {
  let kept: Uint8Array | undefined;
  const listener = await start(t, undefined, (request, response) => {
    const { _tlsOptions: options } = request.socket as unknown as { _tlsOptions: { ALPNProtocols: Uint8Array } };
    kept = options.ALPNProtocols;
    response.end();
  });
  const session = connectHttp2(`https://localhost:${listener.port}`, { ca: cert });
  t.teardown(() => session.destroy());
  await once(session.request().resume(), "response");
  t.equal(String(kept), String(Buffer.from("\x02h2\x08http/1.1")));
  t.equal(kept?.buffer.byteLength, kept?.length);
});
