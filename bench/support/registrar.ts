import { once } from "node:events";
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { type RegisterResponse, RegisterResponseSchema } from "#gen/agent/v1/registration_pb.js";
import { ENVELOPE_BYTES } from "./envelope.js";
import type { ServiceProcess } from "./service-process.js";

/** A connection to register machines over, on `node:http2` with hand-written framing, so that it costs little. */
export class Registrar {
  private constructor(private readonly session: ClientHttp2Session) {}

  static async connect({ port, ca }: ServiceProcess): Promise<Registrar> {
    const session = connect(`https://localhost:${port}`, { ca });
    await once(session, "connect");
    return new Registrar(session);
  }

  /**
   * Registers a machine.
   *
   * @param request in its envelope
   */
  register(request: Buffer): Promise<RegisterResponse> {
    const stream = this.session.request({
      ":method": "POST",
      ":path": "/agent.v1.IngestService/Register",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.end(request);
    const pieces: Buffer[] = [];
    let ending: IncomingHttpHeaders = {};
    return new Promise((resolve, reject) => {
      stream.on("data", (piece: Buffer) => pieces.push(piece));
      // A call that has no message to answer with says how it ended in its headers.
      stream.on("response", (headers) => {
        ending = headers;
      });
      stream.on("trailers", (trailers) => {
        ending = trailers;
      });
      stream.on("error", reject);
      stream.on("close", () => {
        const { "grpc-status": status, "grpc-message": message } = ending;
        if (status !== "0") reject(new Error(`a registration failed: ${status} ${message}`));
        else resolve(fromBinary(RegisterResponseSchema, Buffer.concat(pieces).subarray(ENVELOPE_BYTES)));
      });
    });
  }

  close(): void {
    this.session.close();
  }
}
