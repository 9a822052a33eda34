import type { OutgoingHttpHeaders } from "node:http2";
import { Flag, FrameType, frame, headerBlock } from "./http2-frames.js";
import {
  type Answer,
  AUTHORITIES,
  AUTHORITY_WITH_USER,
  HEARTBEAT,
  IMPOSSIBLE_AUTHORITIES,
  REGISTER,
} from "./malformed-http1.js";

const JSON_TYPE = "application/json";

/** A request that Node's client sends as it is told to. */
export interface Http2Case {
  name: string;
  headers: OutgoingHttpHeaders;
  answer?: Answer;
}

/** Whole requests, sent by a client that checks little. */
export const HTTP2_REQUESTS: Http2Case[] = [
  ...AUTHORITIES.flatMap((authority) => [
    {
      name: `:authority ${authority.slice(0, 30)}`,
      headers: { ":authority": authority },
      answer: "understood" as const,
    },
    { name: `host ${authority.slice(0, 30)}`, headers: { host: authority }, answer: "understood" as const },
  ]),
  ...IMPOSSIBLE_AUTHORITIES.flatMap((authority) => [
    { name: `:authority ${JSON.stringify(authority)}`, headers: { ":authority": authority } },
    { name: `host ${JSON.stringify(authority)}`, headers: { host: authority } },
  ]),
  { name: ":authority with a user", headers: { ":authority": AUTHORITY_WITH_USER } },
  { name: "host with a user", headers: { host: AUTHORITY_WITH_USER } },
  { name: "both", headers: { ":authority": "localhost:99999", host: "web.1:9443" }, answer: "understood" },
  ...["", "//", "/\\", "*", "http://[", "/%00", "x", `${REGISTER}/`, `/${REGISTER}`, `${REGISTER}#x`].map((path) => ({
    name: `:path ${path}`,
    headers: { ":path": path },
  })),
  { name: ":path with a query", headers: { ":path": `${REGISTER}?//[%00` }, answer: "understood" },
  ...["GET", "HEAD", "PUT", "hello", " ", "POST "].map((method) => ({
    name: `:method ${JSON.stringify(method)}`,
    headers: { ":method": method },
  })),
  { name: "OPTIONS", headers: { ":method": "OPTIONS" }, answer: 204 },
  { name: ":scheme that is none", headers: { ":scheme": "gopher" }, answer: "understood" },
  { name: "content type that is none", headers: { "content-type": "application/" }, answer: 415 },
  { name: "gRPC, a body that is no message", headers: { "content-type": "application/grpc" }, answer: 200 },
  { name: "gRPC, another codec", headers: { "content-type": "application/grpc+x" }, answer: 415 },
  {
    name: "gRPC, a timeout that is none",
    headers: { "content-type": "application/grpc", "grpc-timeout": "1Y" },
    answer: 200,
  },
  {
    name: "gRPC, a timeout of 11,000 years",
    headers: { "content-type": "application/grpc", "grpc-timeout": "99999999H" },
    answer: 200,
  },
  { name: "gRPC-Web", headers: { "content-type": "application/grpc-web+proto" }, answer: 200 },
  {
    name: "Heartbeat, no certificate",
    headers: { ":path": HEARTBEAT, "content-type": "application/grpc" },
    answer: 200,
  },
  { name: "Heartbeat as a unary call", headers: { ":path": HEARTBEAT }, answer: 415 },
  { name: "expect: 100-continue", headers: { expect: "100-continue" }, answer: "understood" },
  { name: "another expectation", headers: { expect: "a miracle" }, answer: 417 },
  { name: "__proto__ as a header", headers: { ["__proto__"]: "x", constructor: "y" }, answer: "understood" },
  { name: "cookies", headers: { cookie: Array.from({ length: 100 }, (_, i) => `a${i}=b`) }, answer: "understood" },
];

const get = (...fields: [string, string][]) =>
  headerBlock([[":method", "POST"], [":scheme", "https"], [":path", REGISTER], [":authority", "localhost"], ...fields]);
const request = (block: Buffer, streamId = 1, flags: number = Flag.endHeaders | Flag.endStream) =>
  frame(FrameType.headers, flags, streamId, block);
const u32 = (...values: number[]) =>
  Buffer.concat(
    values.map((value) => {
      const b = Buffer.alloc(4);
      b.writeUInt32BE(value);
      return b;
    }),
  );

/** What no client library sends. Each is answered with a reset, a GOAWAY, or the end of the connection. */
export const HTTP2_FRAMES: { name: string; frames: Buffer[] }[] = [
  { name: "a frame before the settings", frames: [request(get())] },
  { name: "HEADERS on stream 0", frames: [request(get(), 0)] },
  { name: "HEADERS on stream 2", frames: [request(get(), 2)] },
  { name: "HEADERS on a stream that was passed", frames: [request(get(), 5), request(get(), 3)] },
  {
    name: "no :path",
    frames: [
      request(
        headerBlock([
          [":method", "POST"],
          [":scheme", "https"],
          [":authority", "a"],
        ]),
      ),
    ],
  },
  {
    name: "no :method",
    frames: [
      request(
        headerBlock([
          [":path", "/"],
          [":scheme", "https"],
          [":authority", "a"],
        ]),
      ),
    ],
  },
  { name: "no pseudo-headers", frames: [request(headerBlock([["a", "b"]]))] },
  { name: "a pseudo-header twice", frames: [request(get([":path", "/x"]))] },
  { name: "a pseudo-header that is none", frames: [request(get([":status", "200"]))] },
  { name: "a pseudo-header after the others", frames: [request(Buffer.concat([headerBlock([["a", "b"]]), get()]))] },
  { name: "a name in upper case", frames: [request(get(["Host", "a"]))] },
  { name: "an empty name", frames: [request(get(["", "a"]))] },
  { name: "a name with a space", frames: [request(get(["a b", "c"]))] },
  { name: "NUL in a value", frames: [request(get(["a", "b\0c"]))] },
  { name: "a line end in a value", frames: [request(get(["a", "b\r\nc: d"]))] },
  {
    name: "a line end in :authority",
    frames: [
      request(
        headerBlock([
          [":method", "POST"],
          [":scheme", "https"],
          [":path", REGISTER],
          [":authority", "a\r\nb"],
        ]),
      ),
    ],
  },
  {
    name: "a space in :path",
    frames: [
      request(
        headerBlock([
          [":method", "POST"],
          [":scheme", "https"],
          [":path", "/a b"],
          [":authority", "a"],
        ]),
      ),
    ],
  },
  { name: "connection: keep-alive", frames: [request(get(["connection", "keep-alive"]))] },
  { name: "transfer-encoding", frames: [request(get(["transfer-encoding", "chunked"]))] },
  { name: "te: gzip", frames: [request(get(["te", "gzip"]))] },
  { name: "content-length that is none", frames: [request(get(["content-length", "x"]))] },
  { name: "two content-lengths", frames: [request(get(["content-length", "1"], ["content-length", "2"]))] },
  {
    name: "less than content-length says",
    frames: [
      request(get(["content-length", "9"], ["content-type", JSON_TYPE]), 1, Flag.endHeaders),
      frame(FrameType.data, Flag.endStream, 1, "{}"),
    ],
  },
  {
    name: "more than content-length says",
    frames: [
      request(get(["content-length", "1"], ["content-type", JSON_TYPE]), 1, Flag.endHeaders),
      frame(FrameType.data, Flag.endStream, 1, "{}"),
    ],
  },
  {
    name: "CONNECT",
    frames: [
      request(
        headerBlock([
          [":method", "CONNECT"],
          [":authority", "localhost:22"],
        ]),
      ),
    ],
  },
  {
    name: "CONNECT for a web socket",
    frames: [
      request(
        headerBlock([
          [":method", "CONNECT"],
          [":protocol", "websocket"],
          [":scheme", "https"],
          [":path", "/"],
          [":authority", "a"],
        ]),
      ),
    ],
  },
  {
    name: "headers of 100 KB",
    frames: [
      request(get(["a", "b".repeat(16_000)]), 1, Flag.endStream),
      ...Array.from({ length: 6 }, (_, i) =>
        frame(FrameType.continuation, i === 5 ? Flag.endHeaders : 0, 1, headerBlock([[`a${i}`, "b".repeat(16_000)]])),
      ),
    ],
  },
  { name: "CONTINUATION of nothing", frames: [frame(FrameType.continuation, Flag.endHeaders, 1, get())] },
  { name: "DATA between HEADERS and CONTINUATION", frames: [request(get(), 1, 0), frame(FrameType.data, 0, 1, "x")] },
  {
    name: "1,000 CONTINUATIONs",
    frames: [
      request(get(), 1, 0),
      ...Array.from({ length: 1_000 }, () => frame(FrameType.continuation, 0, 1, headerBlock([["a", "b"]]))),
    ],
  },
  { name: "HPACK index 0", frames: [request(Buffer.from([0x80]))] },
  { name: "HPACK index that is none", frames: [request(Buffer.from([0xff, 0xff, 0xff, 0x7f]))] },
  { name: "HPACK string longer than its frame", frames: [request(Buffer.from([0, 0x7e, 0x61]))] },
  {
    name: "HPACK Huffman padding that is wrong",
    frames: [request(Buffer.concat([get(), Buffer.from([0, 0x81, 0x00, 0x81, 0x00])]))],
  },
  {
    name: "HPACK table of 1 GB",
    frames: [request(Buffer.concat([Buffer.from([0x3f, 0xe1, 0xff, 0xff, 0xff, 0x07]), get()]))],
  },
  {
    name: "HPACK of 20 KB of noise",
    frames: [
      request(Buffer.alloc(16_000, 0xfe), 1, Flag.endStream),
      frame(FrameType.continuation, Flag.endHeaders, 1, Buffer.alloc(4_000, 0xfe)),
    ],
  },
  { name: "DATA on stream 0", frames: [frame(FrameType.data, 0, 0, "x")] },
  { name: "DATA on a stream that is not open", frames: [frame(FrameType.data, 0, 1, "x")] },
  { name: "DATA after the end", frames: [request(get()), frame(FrameType.data, 0, 1, "x")] },
  {
    name: "padding longer than the frame",
    frames: [request(Buffer.concat([Buffer.from([255]), get()]), 1, Flag.endHeaders | Flag.padded)],
  },
  {
    name: "a frame of 16 MB",
    frames: [Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]), Buffer.alloc(1_000)])],
  },
  { name: "SETTINGS on a stream", frames: [frame(FrameType.settings, 0, 1, Buffer.alloc(6))] },
  { name: "SETTINGS of 5 bytes", frames: [frame(FrameType.settings, 0, 0, Buffer.alloc(5))] },
  { name: "SETTINGS: a frame size of 1", frames: [frame(FrameType.settings, 0, 0, Buffer.from([0, 5, 0, 0, 0, 1]))] },
  {
    name: "SETTINGS: a window of 2^32-1",
    frames: [frame(FrameType.settings, 0, 0, Buffer.from([0, 4, 255, 255, 255, 255]))],
  },
  {
    name: "an acknowledgement of SETTINGS with a payload",
    frames: [frame(FrameType.settings, Flag.ack, 0, Buffer.alloc(6))],
  },
  { name: "PING of 7 bytes", frames: [frame(FrameType.ping, 0, 0, Buffer.alloc(7))] },
  { name: "PING on a stream", frames: [frame(FrameType.ping, 0, 1, Buffer.alloc(8))] },
  { name: "WINDOW_UPDATE of 0", frames: [frame(FrameType.windowUpdate, 0, 0, u32(0))] },
  {
    name: "WINDOW_UPDATE beyond 2^31",
    frames: [
      frame(FrameType.windowUpdate, 0, 0, u32(0x7fffffff)),
      frame(FrameType.windowUpdate, 0, 0, u32(0x7fffffff)),
    ],
  },
  { name: "WINDOW_UPDATE of a stream that is not open", frames: [frame(FrameType.windowUpdate, 0, 7, u32(1))] },
  { name: "RST_STREAM of a stream that is not open", frames: [frame(FrameType.rstStream, 0, 7, u32(8))] },
  {
    name: "RST_STREAM of 3 bytes",
    frames: [request(get(), 1, Flag.endHeaders), frame(FrameType.rstStream, 0, 1, Buffer.alloc(3))],
  },
  {
    name: "PRIORITY on itself",
    frames: [
      request(get(), 1, Flag.endHeaders),
      frame(FrameType.priority, 0, 1, Buffer.concat([u32(1), Buffer.from([1])])),
    ],
  },
  {
    name: "PUSH_PROMISE from a client",
    frames: [frame(FrameType.pushPromise, Flag.endHeaders, 1, Buffer.concat([u32(2), get()]))],
  },
  { name: "GOAWAY of 3 bytes", frames: [frame(FrameType.goaway, 0, 0, Buffer.alloc(3))] },
  { name: "GOAWAY, then a request", frames: [frame(FrameType.goaway, 0, 0, u32(0, 0)), request(get())] },
  { name: "a frame type that is none, then a request", frames: [frame(0xee, 0xff, 1, "x"), request(get())] },
  {
    name: "requests that are reset at once, 300 times",
    frames: Array.from({ length: 300 }, (_, i) =>
      Buffer.concat([request(get(), 2 * i + 1, Flag.endHeaders), frame(FrameType.rstStream, 0, 2 * i + 1, u32(8))]),
    ).concat(request(get(), 601)),
  },
  {
    name: "1,000 PINGs",
    frames: [...Array.from({ length: 1_000 }, () => frame(FrameType.ping, 0, 0, Buffer.alloc(8))), request(get())],
  },
  {
    name: "1,000 SETTINGS",
    frames: [...Array.from({ length: 1_000 }, () => frame(FrameType.settings, 0, 0)), request(get())],
  },
  {
    name: "1,000 empty DATA",
    frames: [
      request(get(["content-type", JSON_TYPE]), 1, Flag.endHeaders),
      ...Array.from({ length: 1_000 }, () => frame(FrameType.data, 0, 1)),
      frame(FrameType.data, Flag.endStream, 1, "{}"),
    ],
  },
  {
    name: "trailers with a pseudo-header",
    frames: [
      request(get(["content-type", JSON_TYPE]), 1, Flag.endHeaders),
      frame(FrameType.data, 0, 1, "{}"),
      request(headerBlock([[":path", "/"]])),
    ],
  },
];
