import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from "node:http2";
import { connect as connectNet, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import t from "tap";
import { HeartbeatRequestSchema } from "../../../gen/agent/v1/heartbeat_pb.js";
import { eventually } from "../../support/eventually.js";
import { enrol } from "../../support/field-agent.js";
import { startTestService } from "../../support/service.js";

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

t.test("only what the agent itself says of its end counts at once", async (t) => {
  const service = await startTestService(t, { env: { INGEST_OFFLINE_GRACE: "300ms" } });
  const { query } = service.database;
  const token = await service.createToken();
  for (const [name, end, isSaid] of ENDINGS) {
    const agent = await enrol(service, token);
    const socket = connectNet(service.grpcPort, "127.0.0.1");
    const session = connectHttp2(`https://${service.address}`, {
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
    const message = toBinary(HeartbeatRequestSchema, create(HeartbeatRequestSchema, { agentId: agent.jwt }));
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    stream.write(Buffer.concat([prefix, message]));
    await once(stream, "data");
    end({ stream, session, socket });
    const [line] = await eventually(
      () =>
        query("select reason from agent_status_history where agent_id = $1 and status = 'offline'", [agent.agentId]),
      ({ length }) => length > 0,
    );
    t.equal(line?.reason, isSaid ? "heartbeat stream ended" : "connection lost", name);
  }
});
