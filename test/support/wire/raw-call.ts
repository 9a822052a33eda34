import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import type { TestCredentials } from "../agents/field-agent.js";
import type { TestService } from "../service.js";

/** How a request is written: as one of the three protocols, with a body that may be anything. */
export type RawProtocol = "grpc" | "grpc-web" | "connect stream" | "connect unary";

/** A request that no well-behaved client would make. */
export interface RawCall {
  method: "Register" | "RenewCertificate" | "Heartbeat" | "SubmitSoftwareInventory";
  protocol: RawProtocol;
  format?: "proto" | "json";
  headers?: Record<string, string>;
}

/** What the service answers. */
export interface RawAnswer {
  /** gRPC's number; of a Connect error its name. OK is 0. */
  code: number | string;
  message: string;
}

/** An envelope of gRPC, gRPC-Web and Connect. */
export function envelope(data: Uint8Array, flags = 0): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(flags);
  header.writeUInt32BE(data.length, 1);
  return Buffer.concat([header, data]);
}

/** A connection to the service. */
export async function connectRaw(
  service: Pick<TestService, "address" | "ca">,
  credentials?: TestCredentials,
): Promise<ClientHttp2Session> {
  const session = connectHttp2(`https://${service.address}`, {
    ca: service.ca,
    ...(credentials && { cert: credentials.certificatePem, key: credentials.privateKeyPem }),
  });
  await once(session, "connect");
  return session;
}

/** The headers of a request. */
export function rawHeaders({ method, protocol, format = "proto", headers }: RawCall): Record<string, string> {
  const type = { grpc: "grpc+", "grpc-web": "grpc-web+", "connect stream": "connect+", "connect unary": "" }[protocol];
  return {
    ":method": "POST",
    ":path": `/agent.v1.IngestService/${method}`,
    "content-type": `application/${type}${format}`,
    ...(protocol === "grpc" && { te: "trailers" }),
    ...headers,
  };
}

/** Makes a request with this message, in an envelope if the protocol has them, and ends it. */
export async function callRaw(session: ClientHttp2Session, call: RawCall, message: Uint8Array): Promise<RawAnswer> {
  return sendRaw(session, call, call.protocol === "connect unary" ? message : envelope(message));
}

/** Makes a request with these bytes as its body and ends it. */
export async function sendRaw(session: ClientHttp2Session, call: RawCall, body: Uint8Array): Promise<RawAnswer> {
  const stream = session.request(rawHeaders(call));
  stream.end(body);
  return readAnswer(stream, call.protocol);
}

/** What a request is answered. */
export async function readAnswer(stream: ClientHttp2Stream, protocol: RawProtocol): Promise<RawAnswer> {
  let headers: Record<string, unknown> = {};
  let trailers: Record<string, unknown> = {};
  const pieces: Buffer[] = [];
  stream.on("response", (received) => {
    headers = received;
  });
  stream.on("trailers", (received) => {
    trailers = received;
  });
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  await once(stream, "close");
  const body = Buffer.concat(pieces);
  if (headers[":status"] !== 200 && protocol !== "connect unary") {
    return { code: `HTTP ${headers[":status"]}`, message: "" };
  }
  switch (protocol) {
    case "grpc": {
      const all = { ...headers, ...trailers };
      return { code: Number(all["grpc-status"]), message: decodeURIComponent(String(all["grpc-message"] ?? "")) };
    }
    case "grpc-web": {
      const text = lastEnvelope(body).toString();
      const [, code] = /^grpc-status: (\d+)/m.exec(text) ?? [];
      const [, message = ""] = /^grpc-message: (.*)$/m.exec(text) ?? [];
      return { code: Number(code), message: decodeURIComponent(message) };
    }
    case "connect stream": {
      const { error } = JSON.parse(lastEnvelope(body).toString());
      return { code: error?.code ?? 0, message: error?.message ?? "" };
    }
    case "connect unary": {
      if (headers[":status"] === 200) return { code: 0, message: "" };
      const { code, message } = JSON.parse(body.toString());
      return { code, message };
    }
  }
}

function lastEnvelope(body: Buffer): Buffer {
  let last: Buffer = Buffer.alloc(0);
  for (let at = 0; at < body.length; ) {
    const length = body.readUInt32BE(at + 1);
    last = body.subarray(at + 5, at + 5 + length);
    at += 5 + length;
  }
  return last;
}
