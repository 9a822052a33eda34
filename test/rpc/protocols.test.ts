import { connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import t from "tap";
import { IngestService } from "#gen/agent/v1/ingest_pb.js";
import { createAgentKey, enrol as enrolAgent, openHeartbeatStream } from "../../dist/agent/index.js";
import { createTestKey, registration } from "../support/agents/field-agent.js";
import { startTestService } from "../support/service.js";

const REGISTER = "/agent.v1.IngestService/Register";

t.test("Register over Connect, gRPC-Web and gRPC, on HTTP/1.1 and HTTP/2", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const baseUrl = `https://${service.address}`;
  const nodeOptions = { ca: service.ca };
  const transports = {
    "Connect, HTTP/1.1": createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions }),
    "Connect, HTTP/2": createConnectTransport({ baseUrl, httpVersion: "2", nodeOptions }),
    "gRPC-Web, HTTP/1.1": createGrpcWebTransport({ baseUrl, httpVersion: "1.1", nodeOptions }),
    "gRPC-Web, HTTP/2": createGrpcWebTransport({ baseUrl, httpVersion: "2", nodeOptions }),
    gRPC: createGrpcTransport({ baseUrl, nodeOptions }),
  };
  for (const [name, transport] of Object.entries(transports)) {
    const { csrDer, ...request } = await registration(createTestKey(), token);
    const reply = await createClient(IngestService, transport).register({ ...request, csrDer: new Uint8Array(csrDer) });
    t.equal(reply.status, "active", name);
  }
});

t.test("JSON as curl sends it, without Connect-Protocol-Version", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const request = await registration(createTestKey(), token);
  const body = JSON.stringify({ ...request, csrDer: request.csrDer.toString("base64") });

  const overHttp1 = await new Promise<string>((resolve, reject) => {
    const options = { ca: service.ca, method: "POST", headers: { "content-type": "application/json" } };
    httpsRequest(`https://${service.address}${REGISTER}`, options, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => {
        text += chunk;
      });
      response.on("end", () => resolve(text));
    })
      .once("error", reject)
      .end(body);
  });
  t.match(JSON.parse(overHttp1), { status: "active", jwtToken: String });

  const session = connectHttp2(`https://${service.address}`, { ca: service.ca });
  const headers = { "content-type": "application/json", "accept-encoding": "gzip" };
  const stream = session.request({ ":method": "POST", ":path": REGISTER, ...headers });
  stream.end(body);
  let overHttp2 = "";
  for await (const chunk of stream) overHttp2 += chunk;
  session.close();
  // An answer of a few kilobytes is not compressed, whoever would take it.
  t.match(JSON.parse(overHttp2), { status: "active", agentId: JSON.parse(overHttp1).agentId });
});

t.test("the agent library enrols and keeps a stream", async (t) => {
  const service = await startTestService(t);
  const target = { address: service.address, ca: service.ca };
  const identity = await enrolAgent({
    ...target,
    key: createAgentKey(),
    token: await service.createToken(),
    description: { hostname: "lib-01", version: "v1", os: "linux", arch: "arm64" },
  });
  const stream = openHeartbeatStream(target, identity);
  t.match(await stream.send({ cpuPercent: 1 }), { ok: true });
  t.match(await stream.send({ cpuPercent: 2 }), { ok: true });
  t.match(await service.database.query("select cpu_percent from hosts"), [{ cpu_percent: 2 }]);
  await stream.end();
});

t.test("what comes later answers UNIMPLEMENTED, to agents only", async (t) => {
  const service = await startTestService(t);
  const key = createAgentKey();
  const identity = await enrolAgent({
    address: service.address,
    ca: service.ca,
    key,
    token: await service.createToken(),
    description: { hostname: "lib-02", version: "v1", os: "linux", arch: "arm64" },
  });
  const call = async (nodeOptions: object) => {
    const client = createClient(
      IngestService,
      createGrpcTransport({ baseUrl: `https://${service.address}`, nodeOptions }),
    );
    const messages = (async function* () {
      yield { sessionId: identity.agentId };
    })();
    try {
      for await (const _ of client.terminal(messages)) return "answered";
      return "ended";
    } catch (error) {
      return (error as Error).message;
    }
  };
  t.match(await call({ ca: service.ca }), /^\[unauthenticated\]/);
  t.match(
    await call({ ca: service.ca, cert: identity.certificatePem, key: identity.privateKeyPem }),
    /^\[unimplemented\]/,
  );
});
