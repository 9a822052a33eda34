/**
 * What Node's HTTP/2 takes by itself: a TLS server that asks for client certificates, holds streams, and answers each
 * message with an acknowledgement, by hand-written framing. It looks at nothing. Says like a service where it listens.
 */
import { constants } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { ENVELOPE_BYTES } from "../support/envelope.js";

/** `ok: true`, in its envelope. */
const ACKNOWLEDGEMENT = Buffer.from([0, 0, 0, 0, 2, 8, 1]);

const server = createSecureServer({
  cert: await readFile(process.env.INGEST_TLS_CERT ?? ""),
  key: await readFile(process.env.INGEST_TLS_KEY ?? ""),
  minVersion: "TLSv1.2",
  secureOptions: constants.SSL_OP_NO_TICKET,
  requestCert: true,
  rejectUnauthorized: false,
});
server.on("stream", (stream: ServerHttp2Stream) => {
  stream.respond({ ":status": 200, "content-type": "application/grpc" });
  stream.on("error", () => {});
  let waiting: Buffer = Buffer.alloc(0);
  stream.on("data", (piece: Buffer) => {
    waiting = waiting.length === 0 ? piece : Buffer.concat([waiting, piece]);
    while (waiting.length >= ENVELOPE_BYTES) {
      const end = ENVELOPE_BYTES + waiting.readUInt32BE(1);
      if (waiting.length < end) return;
      waiting = waiting.subarray(end);
      stream.write(ACKNOWLEDGEMENT);
    }
  });
});
server.on("sessionError", () => {});
process.on("SIGTERM", () => process.exit());
server.listen(0, () => console.log(JSON.stringify({ msg: "ready", grpcPort: (server.address() as AddressInfo).port })));
