import { EventEmitter, once } from "node:events";
import { readFile } from "node:fs/promises";
import { createSecureServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import t, { type Test } from "tap";
import type { HeartbeatRequest, HeartbeatResponse, HeartbeatResponseSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { IngestService } from "#gen/agent/v1/ingest_pb.js";
import { type AgentIdentity, openHeartbeatStream } from "../../dist/agent/index.js";
import { writeDevTls } from "../../dist/cli/dev/dev-tls.js";
import { makeDirectory } from "../support/service.js";

type Answers = (
  requests: AsyncIterable<HeartbeatRequest>,
) => AsyncIterable<MessageInitShape<typeof HeartbeatResponseSchema>>;

/** A service that answers heartbeats as the test says. */
async function startService(t: Test, heartbeat: Answers): Promise<{ address: string; ca: string }> {
  const { certFile, keyFile } = await writeDevTls(join(await makeDirectory(t), "tls"));
  const ca = await readFile(certFile, "utf8");
  const routes = connectNodeAdapter({ routes: (router) => router.service(IngestService, { heartbeat }) });
  const server = createSecureServer({ cert: ca, key: await readFile(keyFile) }, routes);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.listen(0);
  await once(server, "listening");
  t.teardown(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { address: `localhost:${(server.address() as AddressInfo).port}`, ca };
}

const identity = { agentId: "agent", accessToken: "token" } as AgentIdentity;

t.test("what the service pushes acknowledges no heartbeat", async (t) => {
  const pushes: MessageInitShape<typeof HeartbeatResponseSchema>[] = [
    { checks: [{ checkId: "c" }] },
    { pendingQueries: [{ queryId: "q" }] },
    { pendingTask: { taskId: "t" } },
    { cancelTaskIds: ["t"] },
    { pendingTerminalSessions: [{ sessionId: "s" }] },
    { cancelTerminalSessions: ["s"] },
    { updateAvailable: true, latestVersion: "v2" },
    { command: "restart" },
    { pendingClientCertPem: "pem" },
    { pendingServerCertPem: "pem" },
  ];
  const acknowledgement = new EventEmitter();
  let allowed = 0;
  const acknowledge = () => {
    allowed += 1;
    acknowledgement.emit("allowed");
  };
  const service = await startService(t, async function* (requests) {
    for await (const { cpuPercent } of requests) {
      if (cpuPercent === 1) for (const push of pushes) yield { ok: true, ...push };
      while (allowed < cpuPercent) await once(acknowledgement, "allowed");
      yield { ok: true, latestVersion: `v${cpuPercent}` };
    }
  });
  const pushed: HeartbeatResponse[] = [];
  let onAll = () => {};
  const all = new Promise<void>((resolve) => {
    onAll = resolve;
  });
  const stream = openHeartbeatStream(service, identity, {
    onPush: (response) => {
      pushed.push(response);
      if (pushed.length === pushes.length) onAll();
    },
  });
  let settled = false;
  const first = stream.send({ cpuPercent: 1 }).finally(() => {
    settled = true;
  });
  const second = stream.send({ cpuPercent: 2 });
  await all;
  t.notOk(settled);
  t.match(pushed, pushes);
  acknowledge();
  t.equal((await first).latestVersion, "v1");
  acknowledge();
  t.equal((await second).latestVersion, "v2", "several at once are answered in order");
  stream.destroy();
});

t.test("heartbeats that nobody will acknowledge any more are told so", async (t) => {
  const service = await startService(t, async function* (requests) {
    for await (const { cpuPercent } of requests) {
      if (cpuPercent === 2) return;
      yield { ok: true };
    }
  });
  const stream = openHeartbeatStream(service, identity);
  await stream.send({ cpuPercent: 1 });
  const last = [stream.send({ cpuPercent: 2 }), stream.send({ cpuPercent: 3 })];
  for (const heartbeat of last) await t.rejects(heartbeat, /closed/);
  t.equal(await stream.closed, undefined, "it ended in order");

  const cut = openHeartbeatStream(service, identity);
  await cut.send({ cpuPercent: 1 });
  const lost = cut.send({ cpuPercent: 1 });
  cut.destroy();
  await t.rejects(lost, /closed/);
});
