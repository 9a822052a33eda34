import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { HeartbeatRequestSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { envelope } from "./raw-call.js";

/** All that a call was answered with. */
export interface StreamAnswer {
  headers: Record<string, unknown>;
  /** Each message in its envelope, hex. */
  messages: string[];
  trailers: Record<string, unknown>;
  /** How the stream of HTTP/2 ended. */
  rstCode: number;
}

/** A call on a connection of its own, byte by byte. */
export class RawStream {
  readonly #headers: Promise<IncomingHttpHeaders>;
  #answer: Buffer = Buffer.alloc(0);
  #received: IncomingHttpHeaders = {};
  #trailers: IncomingHttpHeaders = {};
  readonly closed: Promise<unknown>;

  private constructor(
    readonly session: ClientHttp2Session,
    readonly stream: ClientHttp2Stream,
  ) {
    stream.on("error", () => {});
    this.closed = new Promise((resolve) => stream.once("close", resolve));
    this.#headers = new Promise((resolve) => stream.once("response", resolve));
    stream.on("response", (headers) => {
      this.#received = headers;
    });
    stream.on("trailers", (trailers) => {
      this.#trailers = trailers;
    });
    stream.on("data", (piece: Buffer) => {
      this.#answer = Buffer.concat([this.#answer, piece]);
    });
  }

  /** @param headers beside those that every call of gRPC has; undefined leaves one out */
  static async open(url: string, headers: Record<string, string | undefined> = {}, settings = {}): Promise<RawStream> {
    const session = connect(url, { settings });
    session.on("error", () => {});
    await once(session, "connect");
    const all = {
      ":method": "POST",
      ":path": "/agent.v1.IngestService/Heartbeat",
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    };
    return new RawStream(session, session.request(all, { endStream: false }));
  }

  /** Writes bytes as they are. */
  write(bytes: Uint8Array): void {
    this.stream.write(bytes);
  }

  /** Resolves when this many bytes of answers are here, or the stream is over. */
  async received(bytes: number): Promise<void> {
    while (this.#answer.length < bytes && !this.stream.destroyed) {
      await Promise.race([once(this.stream, "data").catch(() => {}), this.closed]);
    }
  }

  headers(): Promise<IncomingHttpHeaders> {
    return this.#headers;
  }

  /** What it was answered, when the stream is over. */
  async answer(): Promise<StreamAnswer> {
    await this.closed;
    this.session.destroy();
    return {
      headers: plain(this.#received),
      // Who makes no call is answered with a sentence.
      messages: Number(this.#received[":status"]) === 200 ? splitEnvelopes(this.#answer) : [],
      trailers: plain(this.#trailers),
      rstCode: this.stream.rstCode ?? 0,
    };
  }
}

/** A heartbeat in its envelope. */
export function message(agentId: string, flags = 0): Buffer {
  return envelope(encoded(agentId), flags);
}

/** A heartbeat without one. */
export function encoded(agentId: string): Uint8Array {
  return toBinary(HeartbeatRequestSchema, create(HeartbeatRequestSchema, { agentId }));
}

/** Without the date, and with the message of a status as it reads. */
function plain(headers: IncomingHttpHeaders): Record<string, unknown> {
  const { date: _, "grpc-message": message, ...rest } = headers;
  return { ...rest, ...(message !== undefined && { "grpc-message": decodeURIComponent(String(message)) }) };
}

function splitEnvelopes(body: Buffer): string[] {
  const envelopes: string[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    envelopes.push(body.toString("hex", at, end));
    at = end;
  }
  return envelopes;
}
