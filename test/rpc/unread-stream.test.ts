import { once } from "node:events";
import { type ClientHttp2Stream, connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { HeartbeatRequestSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { enrol, openLiveStream, type TestIdentity } from "../support/agents/field-agent.js";
import { eventually } from "../support/eventually.js";
import { startTestService, type TestService } from "../support/service.js";

/** A gRPC stream of an agent that takes headers and pings, and never a byte of an answer. */
async function openUnreadStream(t: Test, service: TestService, agent: TestIdentity): Promise<ClientHttp2Stream> {
  const session = connect(`https://${service.address}`, {
    ca: service.ca,
    cert: agent.certificatePem,
    key: agent.privateKeyPem,
    settings: { initialWindowSize: 0 },
  });
  session.on("error", () => {});
  t.teardown(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": "/agent.v1.IngestService/Heartbeat",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  const message = toBinary(
    HeartbeatRequestSchema,
    create(HeartbeatRequestSchema, { agentId: agent.jwt, cpuPercent: 1 }),
  );
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.write(Buffer.concat([prefix, message]));
  await once(stream, "response");
  return stream;
}

t.test("an agent that reads no acknowledgement holds up neither revocation, displacement nor the stop", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken();
  const [revoked, displaced, drained] = [
    await enrol(service, token),
    await enrol(service, token),
    await enrol(service, token),
  ];
  const streams = await Promise.all([revoked, displaced, drained].map((agent) => openUnreadStream(t, service, agent)));
  const [first, second, third] = streams as [ClientHttp2Stream, ClientHttp2Stream, ClientHttp2Stream];

  const isRevoked = once(first, "close");
  await query("update agents set status = 'revoked' where id = $1", [revoked.agentId]);
  await isRevoked;
  const isDisplaced = once(second, "close");
  const current = await openLiveStream(service, displaced);
  await isDisplaced;
  await eventually(
    () => query("select status from hosts where agent_id = $1", [revoked.agentId]),
    ([row]) => row?.status === "offline",
  );
  t.match(await query("select status from agents where id = $1", [displaced.agentId]), [{ status: "active" }]);

  const isDrained = once(third, "close");
  const startedAt = performance.now();
  await service.close();
  await isDrained;
  await current.ended;
  t.ok(performance.now() - startedAt < 10_000, "the stop did not wait for it");
  t.match(await query("select count(*)::int from host_metrics"), [{ count: 4 }]);
});
