import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:http2";
import { request } from "node:https";
import t from "tap";
import { createDevServerCertificate } from "../../dist/identity/server-certificate/server-certificate.js";
import { Peers } from "../../dist/server/admission/peers.js";
import { startPlainListener } from "../../dist/server/plain-listener.js";
import type { RequestHandler } from "../../dist/server/requests/request-guard.js";
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
