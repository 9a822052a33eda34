import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTls } from "node:tls";
import t from "tap";
import { createDevServerCertificate } from "../../dist/identity/server-certificate/server-certificate.js";
import { Peers } from "../../dist/server/admission/peers.js";
import { startRpcListener } from "../../dist/server/rpc-listener.js";
import { eventually } from "../support/eventually.js";
import { LIMITS } from "../support/limits.js";
import { createTestLog } from "../support/log.js";
import { Flag, FrameType, frame, headerBlock, PREFACE } from "../support/wire/http2-frames.js";

const { cert, key } = await createDevServerCertificate(["localhost"]);
/** As many as nghttp2 takes of a connection at once. */
const RESETS = 900;
const STREAMS = 100;
const HEADERS = headerBlock([
  [":method", "POST"],
  [":scheme", "https"],
  [":path", "/x"],
  [":authority", "localhost"],
]);
const CANCEL = Buffer.from([0, 0, 0, 8]);

t.test("who resets streams by the hundred is cut, and nobody else", async (t) => {
  let requests = 0;
  const turnedAway: string[] = [];
  const listener = await startRpcListener({
    port: 0,
    address: "127.0.0.1",
    cert,
    key,
    logger: createTestLog().logger,
    // Nothing is answered: streams stay until they are reset.
    handlers: {
      answer: () => {
        requests++;
      },
    },
    limits: LIMITS,
    peers: new Peers(),
    onTurnedAway: ({ reason, remoteAddress }) => turnedAway.push(`${reason}: ${remoteAddress}`),
  });
  t.teardown(() => listener.close());

  const honest = connectHttp2(`https://localhost:${listener.port}`, { ca: cert });
  t.teardown(() => honest.destroy());
  const open = () => Array.from({ length: STREAMS }, () => honest.request({ ":method": "POST" }).on("error", () => {}));
  const first = open();
  await eventually(
    async () => requests,
    (count) => count === STREAMS,
  );
  const closedStreams = first.map((stream) => new Promise((resolve) => stream.on("close", resolve)));
  for (const stream of first) stream.close(8);
  // Opened before, some of the others would never leave a client of Node 22 or 24.
  await Promise.all(closedStreams);
  open();
  await eventually(
    async () => requests,
    (count) => count === 2 * STREAMS,
  );

  const hostile = connectTls({ port: listener.port, ca: cert, servername: "localhost", ALPNProtocols: ["h2"] });
  t.teardown(() => hostile.destroy());
  hostile.on("error", () => {}).resume();
  await once(hostile, "secureConnect");
  const resets = Array.from({ length: RESETS }, (_, index) => [
    frame(FrameType.headers, Flag.endHeaders, 2 * index + 1, HEADERS),
    frame(FrameType.rstStream, 0, 2 * index + 1, CANCEL),
  ]);
  const closed = new Promise((resolve) => hostile.once("close", resolve));
  hostile.write(Buffer.concat([PREFACE, ...resets.flat()]));
  await closed;
  t.same(turnedAway, ["too many resets: 127.0.0.1"]);
  t.ok(requests < 2 * STREAMS + RESETS / 2, `${requests - 2 * STREAMS} of ${RESETS} were begun`);
  t.notOk(honest.destroyed);
});
