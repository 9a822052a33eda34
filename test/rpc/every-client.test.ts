import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, status } from "@grpc/grpc-js";
import t, { type Test } from "tap";
import {
  HealthCheckResponse_ServingStatus as Health,
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
} from "#gen/grpc/health/v1/health_pb.js";
import { setReachable } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { startTestService, type TestService } from "../support/service.js";
import { envelope } from "../support/wire/raw-call.js";

const run = promisify(execFile);
const BUF = fileURLToPath(new URL("../../node_modules/.bin/buf", import.meta.url));
const REGISTER = "/agent.v1.IngestService/Register";
const NOTHING = "/agent.v1.IngestService/Nothing";

const PAGE = "https://tools.example.com";

interface Answer {
  headers: IncomingHttpHeaders;
  trailers: IncomingHttpHeaders;
  body: Buffer;
}

async function connectTo(t: Test, service: TestService): Promise<ClientHttp2Session> {
  const session = connect(`https://${service.address}`, { ca: service.ca });
  t.teardown(() => session.destroy());
  await once(session, "connect");
  return session;
}

async function ask(session: ClientHttp2Session, headers: Record<string, string>, body?: Uint8Array): Promise<Answer> {
  const stream = session.request(headers);
  let trailers: IncomingHttpHeaders = {};
  stream.once("trailers", (received) => {
    trailers = received;
  });
  stream.end(body);
  const [received] = await once(stream, "response");
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return { headers: received, trailers, body: Buffer.concat(chunks) };
}

t.test("whoever asks for what is not there", async (t) => {
  const service = await startTestService(t);
  const session = await connectTo(t, service);
  const call = (contentType: string, path = NOTHING, method = "POST") =>
    ask(session, { ":method": method, ":path": path, "content-type": contentType }, Buffer.from("whatever"));

  t.test("is answered over gRPC with a status", async (t) => {
    for (const type of ["application/grpc", "application/grpc+proto", "application/grpc+json"]) {
      const { headers, trailers } = await call(type);
      t.match(headers, { ":status": 200, "content-type": type });
      t.match(trailers, { "grpc-status": "12", "grpc-message": /no method at .*Nothing/ }, type);
    }
    const { trailers } = await call("application/grpc", "/some.other.Service/Method");
    t.match(trailers, { "grpc-status": "12" }, "another service");
  });

  t.test("is answered over gRPC-Web with a status in the body", async (t) => {
    for (const type of ["application/grpc-web", "application/grpc-web+proto"]) {
      const { headers, body } = await call(type);
      t.match(headers, { ":status": 200, "content-type": type });
      t.equal(body[0], 0x80, "an envelope of trailers");
      t.match(body.subarray(5).toString(), /grpc-status: 12\r\n/i);
    }
  });

  t.test("is answered over Connect with an error", async (t) => {
    const unary = await call("application/json");
    t.match(unary.headers, { ":status": 501, "content-type": "application/json" });
    t.match(JSON.parse(unary.body.toString()), { code: "unimplemented", message: /no method at/ });
    const stream = await call("application/connect+json");
    t.match(stream.headers, { ":status": 200 });
    t.equal(stream.body[0], 2, "the envelope that ends a stream");
    t.match(JSON.parse(stream.body.subarray(5).toString()), { error: { code: "unimplemented" } });
  });

  t.test("is answered in a sentence when it makes no call", async (t) => {
    const text = "text/plain; charset=utf-8";
    const page = await ask(session, { ":method": "GET", ":path": "/" });
    t.match(page.headers, { ":status": 404, "content-type": text });
    t.match(page.body.toString(), /^there is nothing at \/; methods are called at .*POST\n$/);
    const get = await ask(session, { ":method": "GET", ":path": REGISTER });
    t.match(get.headers, { ":status": 405, "content-type": text, allow: "POST, OPTIONS" });
    t.match(get.body.toString(), /called with POST/);
    const form = await call("application/x-www-form-urlencoded", REGISTER);
    t.match(form.headers, { ":status": 415, "content-type": text });
    t.match(form.body.toString(), /application\/json/);
    const stream = await call("application/json", "/agent.v1.IngestService/Heartbeat");
    t.match(stream.body.toString(), /application\/connect\+json/);
  });

  t.test("learns nothing of the methods unless the operator says so", async (t) => {
    const { trailers } = await call("application/grpc", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    t.match(trailers, { "grpc-status": "12" });
  });

  t.test("gets nothing for a page of another origin", async (t) => {
    const { headers } = await ask(session, preflight(PAGE));
    t.equal(headers["access-control-allow-origin"], undefined);
  });
});

function preflight(origin: string): Record<string, string> {
  return {
    ":method": "OPTIONS",
    ":path": REGISTER,
    origin,
    "access-control-request-method": "POST",
    "access-control-request-headers": "connect-protocol-version,content-type",
  };
}

t.test("tools and browsers", async (t) => {
  const service = await startTestService(t, {
    env: { INGEST_REFLECTION: "true", INGEST_CORS_ORIGINS: `loopback, ${PAGE}` },
    timing: { databaseHealth: { probeIntervalMs: 200, unhealthyAfterMs: 1_000 }, healthWatchMs: 50 },
  });
  const caFile = join(service.directory, "ca.pem");
  await writeFile(caFile, service.ca);
  const baseUrl = `https://${service.address}`;

  t.test("buf curl needs no schema", async (t) => {
    const buf = (...args: string[]) => run(BUF, ["curl", "--cacert", caFile, ...args]);
    const { stdout } = await buf("--list-services", baseUrl);
    t.match(stdout, /^agent\.v1\.IngestService$/m);
    t.match(stdout, /^grpc\.health\.v1\.Health$/m);
    for (const version of ["v1", "v1alpha"]) {
      const call = ["--reflect-protocol", `grpc-${version}`, "--protocol", "grpc", "--data", '{"orgToken":"none"}'];
      await t.rejects(buf(...call, `${baseUrl}${REGISTER}`), /invalid_argument/, version);
    }
    const reflection = `${baseUrl}/grpc.reflection.v1.ServerReflection/ServerReflectionInfo`;
    const wanted = '{"fileContainingSymbol":"google.rpc.ErrorInfo"}';
    const { stdout: details } = await buf("--protocol", "grpc", "--data", wanted, reflection);
    t.match(JSON.parse(details), { fileDescriptorResponse: { fileDescriptorProto: [String] } }, "details of errors");
    const { stdout: health } = await buf(
      "--protocol",
      "grpc",
      "--data",
      "{}",
      `${baseUrl}/grpc.health.v1.Health/Check`,
    );
    t.same(JSON.parse(health), { status: "SERVING" });
  });

  t.test("probes of gRPC", async (t) => {
    const client = new Client(service.address, credentials.createSsl(Buffer.from(service.ca)));
    t.teardown(() => client.close());
    const serialize = (name: string) =>
      Buffer.from(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service: name })));
    const deserialize = (bytes: Buffer) => fromBinary(HealthCheckResponseSchema, bytes).status;
    const check = (name: string) =>
      new Promise<Health>((resolve, reject) => {
        client.makeUnaryRequest("/grpc.health.v1.Health/Check", serialize, deserialize, name, (error, answer) =>
          error ? reject(error) : resolve(answer as Health),
        );
      });
    t.equal(await check(""), Health.SERVING);
    t.equal(await check("agent.v1.IngestService"), Health.SERVING);
    await t.rejects(check("other"), { code: status.NOT_FOUND, details: /there is no service other/ });

    const told: Health[] = [];
    const watch = client.makeServerStreamRequest("/grpc.health.v1.Health/Watch", serialize, deserialize, "");
    watch.on("data", (one: Health) => told.push(one)).on("error", () => {});
    await eventually(
      async () => told.length,
      (count) => count === 1,
    );
    await setReachable(service.database, false);
    await eventually(
      async () => told.length,
      (count) => count === 2,
    );
    await setReachable(service.database, true);
    await eventually(
      async () => told.length,
      (count) => count === 3,
    );
    t.same(told, [Health.SERVING, Health.NOT_SERVING, Health.SERVING]);
    watch.cancel();

    const unknown = client.makeServerStreamRequest("/grpc.health.v1.Health/Watch", serialize, deserialize, "other");
    unknown.on("error", () => {});
    t.same(await once(unknown, "data"), [Health.SERVICE_UNKNOWN], "may come later");
    unknown.cancel();
  });

  t.test("one address may watch ten times", async (t) => {
    const session = await connectTo(t, service);
    const watch = () => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/grpc.health.v1.Health/Watch",
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.end(envelope(Buffer.alloc(0)));
      stream.on("error", () => {}).resume();
      return stream;
    };
    const open = Array.from({ length: 10 }, watch);
    await Promise.all(open.map((stream) => once(stream, "response")));
    const [trailers] = await once(watch(), "trailers");
    t.match(trailers, {
      "grpc-status": String(status.RESOURCE_EXHAUSTED),
      "grpc-message": /^10%20such%20streams%20of%20your%20address/,
    });
    for (const stream of open) stream.close();
    await eventually(
      async () => {
        const stream = watch();
        const isOpen = await Promise.race([
          once(stream, "data").then(() => true),
          once(stream, "trailers").then(() => false),
        ]);
        stream.close();
        return isOpen;
      },
      (isOpen) => isOpen,
    );
    const metrics = await (await fetch(`http://localhost:${service.httpPort}/metrics`)).text();
    t.match(metrics, /refusals_total\{reason="too_many_calls"\} [1-9]/);
  });

  t.test("a page of an origin that is named, or of this machine", async (t) => {
    const session = await connectTo(t, service);
    for (const origin of [PAGE, "http://localhost:5173", "http://127.0.0.1:3000", "http://[::1]:1"]) {
      const { headers } = await ask(session, preflight(origin));
      t.match(headers, { ":status": 204, "access-control-allow-origin": origin, vary: "Origin" }, origin);
      t.match(headers["access-control-allow-methods"], /POST/);
      t.match(String(headers["access-control-allow-headers"]).toLowerCase(), /connect-protocol-version.*x-grpc-web/);
      const call = { ":method": "POST", ":path": REGISTER, origin, "content-type": "application/grpc-web+proto" };
      const answer = await ask(session, call, envelope(Buffer.alloc(0)));
      t.equal(answer.headers["access-control-allow-origin"], origin, "of an answer");
      t.match(String(answer.headers["access-control-expose-headers"]).toLowerCase(), /grpc-status.*grpc-message/);
    }
    for (const origin of ["https://evil.example.com", "http://localhost.evil.example.com", `${PAGE}:444`, "null"]) {
      const { headers } = await ask(session, preflight(origin));
      t.equal(headers["access-control-allow-origin"], undefined, origin);
    }
    const health = await fetch(`http://localhost:${service.httpPort}/healthz`, { headers: { origin: PAGE } });
    t.equal(health.headers.get("access-control-allow-origin"), PAGE);
  });
});
