import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect, constants, type IncomingHttpHeaders } from "node:http2";
import { request } from "node:https";
import t from "tap";
import { createDevServerCertificate } from "../../dist/identity/server-certificate/server-certificate.js";
import { Peers } from "../../dist/server/admission/peers.js";
import { startPlainListener } from "../../dist/server/plain-listener.js";
import type { RequestHandler } from "../../dist/server/requests/request-guard.js";
import type { StreamRequest } from "../../dist/server/requests/stream-guard.js";
import { startRpcListener } from "../../dist/server/rpc-listener.js";
import { LIMITS } from "../support/limits.js";
import { createTestLog } from "../support/log.js";

/** What a handler may do wrong, by the path it is asked for. */
const FAULTS: Record<string, RequestHandler> = {
  "/throws": () => {
    throw new Error("thrown");
  },
  "/rejects": () => Promise.reject(new Error("rejected")),
  "/begins": async (_request, response) => {
    response.writeHead(200);
    await new Promise<void>((resolve) => (response as ServerResponse).write("half an answer", () => resolve()));
    throw new Error("thrown after the answer began");
  },
  "/errs": (request, response) => {
    request.emit("error", new Error("an error event nobody listens to"));
    response.emit("error", new Error("an error event nobody listens to"));
    response.end("answered");
  },
};

t.test("a handler that fails costs one request, not the process", async (t) => {
  const { logger, lines } = createTestLog();
  const { cert, key } = await createDevServerCertificate(["localhost"]);
  const answer: RequestHandler = (request, response, call) => FAULTS[request.url ?? ""]?.(request, response, call);
  const listener = await startRpcListener({
    port: 0,
    cert,
    key,
    handlers: { answer },
    logger,
    limits: LIMITS,
    peers: new Peers(),
  });
  t.teardown(() => listener.close());
  const session = connect(`https://localhost:${listener.port}`, { ca: cert });
  t.teardown(() => session.destroy());

  const overHttp2 = async (path: string) => {
    const call = session.request({ ":path": path });
    const [headers] = await once(call, "response");
    let body = "";
    try {
      for await (const chunk of call) body += chunk;
    } catch (error) {
      body = (error as NodeJS.ErrnoException).code ?? "";
    }
    return [headers[":status"], body];
  };
  const overHttp1 = async (path: string) => {
    const call = request(`https://localhost:${listener.port}${path}`, { ca: cert, agent: false }).end();
    const [response] = await once(call, "response");
    let body = "";
    try {
      for await (const chunk of response) body += chunk;
    } catch (error) {
      body = (error as NodeJS.ErrnoException).code ?? "";
    }
    return [response.statusCode, body];
  };
  for (const call of [overHttp2, overHttp1]) {
    const cut = call === overHttp2 ? "ERR_HTTP2_STREAM_ERROR" : "ECONNRESET";
    t.same(await call("/throws"), [500, ""]);
    t.same(await call("/rejects"), [500, ""]);
    t.same(await call("/begins"), [200, cut], "an answer that began is cut short, not made look whole");
    t.same(await call("/errs"), [200, "answered"]);
  }
  t.equal(lines.filter(({ msg }) => msg === "a request failed").length, 6);
  t.match(lines[0], { level: "error", httpMethod: "GET", path: "/throws", err: { message: "thrown" } });
});

/** The same, of a handler of streams. */
const STREAM_FAULTS: Record<string, (request: StreamRequest) => void> = {
  "/throws": () => {
    throw new Error("thrown");
  },
  "/fails": ({ onFailure }) => setImmediate(onFailure, new Error("failed later")),
  "/begins": ({ stream, onFailure }) => {
    stream.respond({}, { waitForTrailers: true });
    stream.write("half an answer", () => onFailure(new Error("failed after the answer began")));
  },
  "/errs": ({ stream, answerHeaders }) => {
    stream.emit("error", new Error("an error event nobody listens to"));
    stream.respond(answerHeaders);
    stream.end("answered");
  },
  "/leaves": ({ stream, onFailure }) => {
    stream.destroy();
    onFailure(new Error("gone"));
  },
};

t.test("so does a handler of streams, which leaves the others to the one of requests", async (t) => {
  const { logger, lines } = createTestLog();
  const { cert, key } = await createDevServerCertificate(["localhost"]);
  const listener = await startRpcListener({
    port: 0,
    cert,
    key,
    cors: { isAllowed: () => true, methods: [], requestHeaders: [], responseHeaders: ["grpc-status"] },
    handlers: {
      answer: (_request, response) => void response.end("a request"),
      answerStream: (headers) => STREAM_FAULTS[headers[":path"] ?? ""],
    },
    logger,
    limits: LIMITS,
    peers: new Peers(),
  });
  t.teardown(() => listener.close());
  const session = connect(`https://localhost:${listener.port}`, { ca: cert });
  t.teardown(() => session.destroy());
  const call = async (path: string, headers = {}) => {
    const stream = session.request({ ":path": path, ...headers });
    stream.on("error", () => {});
    let answered: IncomingHttpHeaders = {};
    let body = "";
    stream.on("response", (received) => {
      answered = received;
    });
    stream.on("data", (piece) => {
      body += piece;
    });
    await new Promise((resolve) => stream.once("close", resolve));
    return { status: answered[":status"], headers: answered, body, rstCode: stream.rstCode };
  };
  t.match(await call("/throws"), { status: 500, body: "" });
  t.match(await call("/fails"), { status: 500, body: "" });
  t.match(await call("/begins"), { status: 200, rstCode: constants.NGHTTP2_INTERNAL_ERROR });
  t.match(await call("/errs", { origin: "https://page.example" }), {
    status: 200,
    body: "answered",
    headers: {
      "x-request-id": /^.{24}$/,
      vary: "Origin",
      "access-control-allow-origin": "https://page.example",
      "access-control-expose-headers": "grpc-status",
    },
  });
  await call("/leaves");
  t.match(await call("/another"), { status: 200, body: "a request" });
  t.match(await call("/throws", { expect: "100-continue" }), { status: 200, body: "a request" }, "as Node answers it");
  t.match(
    lines.map(({ level, path }) => `${level} ${path}`),
    ["error /throws", "error /fails", "error /begins"],
    "whoever went away is not news",
  );
});

t.test("so does one of the plain listener", async (t) => {
  const { logger, lines } = createTestLog();
  const listener = await startPlainListener({
    limits: LIMITS,
    port: 0,
    findHealthProblem: () => undefined,
    findReadinessProblem: async () => undefined,
    jwks: () => {
      throw new Error("no keys");
    },
    renderMetrics: async () => ({ contentType: "text/plain", text: "" }),
    version: "1",
    logger,
  });
  t.teardown(() => listener.close());
  t.equal((await fetch(`http://localhost:${listener.port}/.well-known/jwks.json`)).status, 500);
  t.equal((await fetch(`http://localhost:${listener.port}/healthz`)).status, 200);
  t.match(lines, [{ level: "error", path: "/.well-known/jwks.json" }]);
});
