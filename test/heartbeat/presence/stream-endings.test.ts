import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from "node:http2";
import { connect as connectNet, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { HeartbeatRequestSchema } from "../../../gen/agent/v1/heartbeat_pb.js";
import { enrol, type TestIdentity } from "../../support/agents/field-agent.js";
import { connectTo, untilLockedOut } from "../../support/database/database.js";
import { eventually } from "../../support/eventually.js";
import { startTestService, type TestService } from "../../support/service.js";

interface Ending {
  stream: ClientHttp2Stream;
  session: ClientHttp2Session;
  socket: Socket;
}

const ENDINGS: readonly [name: string, end: (of: Ending) => void, isSaid: boolean][] = [
  ["the agent ends its side", ({ stream }) => stream.end(), true],
  ["the agent takes its call back", ({ stream }) => stream.close(constants.NGHTTP2_CANCEL), true],
  ["its process is gone, and the connection closed", ({ socket }) => socket.destroy(), false],
  ["the connection is reset", ({ socket }) => socket.resetAndDestroy(), false],
  ["the HTTP/2 session is given up", ({ session }) => session.destroy(), false],
];

/** An HTTP/2 stream of the agent's; one that takes no data gets no acknowledgement. */
function openRawStream(t: Test, service: TestService, agent: TestIdentity, takesData = true): Ending {
  const socket = connectNet(service.grpcPort, "127.0.0.1");
  const session = connectHttp2(`https://${service.address}`, {
    ...(!takesData && { settings: { initialWindowSize: 0 } }),
    createConnection: () =>
      connectTls({
        socket,
        ca: service.ca,
        cert: agent.certificatePem,
        key: agent.privateKeyPem,
        ALPNProtocols: ["h2"],
        servername: "localhost",
      }),
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
  return { stream, session, socket };
}

function send({ stream }: Ending, agentId: string): void {
  const message = toBinary(HeartbeatRequestSchema, create(HeartbeatRequestSchema, { agentId }));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.write(Buffer.concat([prefix, message]));
}

t.test("only what the agent itself says of its end counts at once, whatever is under way", async (t) => {
  const service = await startTestService(t, { env: { INGEST_OFFLINE_GRACE: "300ms" } });
  const { query } = service.database;
  const token = await service.createToken();
  const whyOffline = async ({ agentId }: TestIdentity) => {
    const [line] = await eventually(
      () => query("select reason from agent_status_history where agent_id = $1 and status = 'offline'", [agentId]),
      ({ length }) => length > 0,
    );
    return line?.reason;
  };
  const reasonOf = (isSaid: boolean) => (isSaid ? "heartbeat stream ended" : "connection lost");

  for (const [name, end, isSaid] of ENDINGS) {
    const agent = await enrol(service, token);
    const ending = openRawStream(t, service, agent);
    send(ending, agent.jwt);
    await once(ending.stream, "data");
    end(ending);
    t.equal(await whyOffline(agent), reasonOf(isSaid), `${name} while nothing is under way`);
  }

  const holder = await connectTo(t, service.database.url);
  for (const [name, end, isSaid] of ENDINGS) {
    const agent = await enrol(service, token);
    const ending = openRawStream(t, service, agent);
    send(ending, agent.jwt);
    await once(ending.stream, "data");
    await holder.query("begin; lock table host_metrics in exclusive mode");
    send(ending, agent.agentId);
    await untilLockedOut({ query });
    end(ending);
    // The service has read what came before the ping that it answers.
    if (!ending.session.destroyed && !ending.socket.destroyed) await pinged(ending.session);
    await holder.query("commit");
    t.equal(await whyOffline(agent), reasonOf(isSaid), `${name} while its heartbeat is being stored`);
  }

  // An agent that takes nothing would not see its stream end in order.
  for (const [name, end, isSaid] of ENDINGS.slice(1)) {
    const agent = await enrol(service, token);
    const ending = openRawStream(t, service, agent, false);
    send(ending, agent.jwt);
    await eventually(
      () => query("select from host_metrics m join hosts h on h.id = m.host_id where h.agent_id = $1", [agent.agentId]),
      ({ length }) => length > 0,
    );
    end(ending);
    t.equal(await whyOffline(agent), reasonOf(isSaid), `${name} while its heartbeat is being acknowledged`);
  }
});

function pinged(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve) => session.ping(() => resolve()));
}
