import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import t, { type Test } from "tap";
import {
  type AgentIdentity,
  createAgentKey,
  openHeartbeatStream,
  register,
  renewCertificate,
} from "../../dist/agent/index.js";
import { writeDevTls } from "../../dist/cli/dev/dev-tls.js";
import { makeDirectory } from "../support/service.js";

async function listen(t: Test, server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  server.listen(0);
  await once(server, "listening");
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `localhost:${(server.address() as AddressInfo).port}`;
}

const description = { hostname: "web-01", version: "v1", os: "linux", arch: "amd64" };

/** Enough to try with: nobody looks at it. */
function someIdentity(): AgentIdentity {
  return {
    agentId: "agent",
    accessToken: "token",
    certificatePem: "",
    privateKeyPem: "",
    agentCaCertificatePem: "",
    certificateNotAfter: new Date(),
  };
}

t.test("a service that takes the connection and says nothing is not waited for", async (t) => {
  const address = await listen(t, createServer());
  const service = { address, ca: "", connectTimeoutMs: 50 };
  const key = createAgentKey();
  const identity = someIdentity();
  const { certificatePem: _, privateKeyPem: __, ...without } = identity;
  const told = { code: Code.Unavailable, message: /not connected within 50 ms/ };
  await t.rejects(register({ ...service, key, token: "", description }), told);
  await t.rejects(renewCertificate({ ...service, key, identity: without as AgentIdentity }), told);
  const stream = openHeartbeatStream(service, without as AgentIdentity);
  await t.rejects(stream.send({}), told);
  t.match(await stream.closed, told);
  await t.rejects(stream.send({}), told, "nothing more is sent");
});

t.test("a service that does not answer a registration or a renewal is not waited for", async (t) => {
  const { certFile, keyFile } = await writeDevTls(join(await makeDirectory(t), "tls"));
  const ca = await readFile(certFile, "utf8");
  const server = createSecureServer({ cert: ca, key: await readFile(keyFile) }, () => {});
  const service = { address: await listen(t, server), ca, timeoutMs: 200 };
  const key = createAgentKey();
  const { certificatePem: _, privateKeyPem: __, ...identity } = someIdentity();
  await t.rejects(register({ ...service, key, token: "", description }), { code: Code.DeadlineExceeded });
  await t.rejects(renewCertificate({ ...service, key, identity: identity as AgentIdentity }), {
    code: Code.DeadlineExceeded,
  });
});
