import { PREFACE } from "./http2-frames.js";

/** The RPC that needs no credential. */
export const REGISTER = "/agent.v1.IngestService/Register";
export const HEARTBEAT = "/agent.v1.IngestService/Heartbeat";

/**
 * How a request is answered: with a status, or understood by `Register`, which says what it misses. Whatever is left to
 * Node, whose versions differ, has neither: it is refused (400 or more), reset or hung up on, or understood, which
 * refuses it as well.
 */
export type Answer = number | "understood" | undefined;

/** Hosts that are no host of a URL, or name something else: honest clients send some of them. */
export const AUTHORITIES = [
  "localhost:99999",
  "web.1:9443",
  ":",
  ":9443",
  "localhost:",
  "localhost:0x1",
  "localhost:-1",
  "localhost:9443:9443",
  "[fe80::1%eth0]:9443",
  "[::1",
  "::1",
  "[]",
  "1.2.3.4.5",
  "0x7f.1:9443",
  "256.256.256.256",
  "%00",
  "%",
  "xn--",
  "xn--a.xn--b",
  "*",
  "a".repeat(4_000),
  `${"a.".repeat(300)}b:9443`,
  "evil.example",
];
/** HTTP/2 lets this one through up to Node 20, and HTTP/1 always. */
export const AUTHORITY_WITH_USER = "user:password@host";
/** HTTP/2 does not let these through. */
export const IMPOSSIBLE_AUTHORITIES = [
  "",
  " ",
  "a b",
  "a|b",
  "host/path",
  "host?query",
  "host#fragment",
  "\\\\host",
  "ho\u00e9st",
];

const post = (target: string, headers: string[], body = BODY, version = "HTTP/1.1") =>
  `POST ${target} ${version}\r\n${headers.map((line) => `${line}\r\n`).join("")}\r\n${body}`;
const JSON_TYPE = "application/json";
const BODY = "{}";
const TYPE = `Content-Type: ${JSON_TYPE}`;
const LENGTH = `Content-Length: ${BODY.length}`;
const HOST = "Host: localhost";

/** A request, byte for byte. */
export interface Http1Case {
  name: string;
  bytes: string;
  answer?: Answer;
  /** The request is not whole: the client says that nothing more comes. */
  end?: true;
}

/** Whole requests, which have one right answer on the port for agents. */
export const HTTP1_TO_AGENT_PORT: Http1Case[] = [
  ...[...AUTHORITIES, AUTHORITY_WITH_USER, ...IMPOSSIBLE_AUTHORITIES].map((host) => ({
    name: `Host: ${JSON.stringify(host.slice(0, 30))}`,
    bytes: post(REGISTER, [`Host: ${host}`, TYPE, LENGTH]),
    answer: "understood" as const,
  })),
  { name: "HTTP/1.0 without a host", bytes: post(REGISTER, [TYPE, LENGTH], BODY, "HTTP/1.0"), answer: "understood" },
  { name: "HTTP/1.1 without a host", bytes: post(REGISTER, [TYPE, LENGTH]) },
  { name: "two hosts", bytes: post(REGISTER, ["Host: a", "Host: b", TYPE, LENGTH]) },
  {
    name: "a target with its origin",
    bytes: post(`https://ingest.example:9443${REGISTER}`, [HOST, TYPE, LENGTH]),
    answer: "understood",
  },
  { name: "another method", bytes: `GET ${REGISTER} HTTP/1.1\r\n${HOST}\r\n\r\n`, answer: 405 },
  {
    name: "Heartbeat",
    bytes: post(HEARTBEAT, [HOST, "Content-Type: application/grpc", "Content-Length: 0"], ""),
    answer: 505,
  },
  { name: "no content type", bytes: post(REGISTER, [HOST, LENGTH]), answer: 415 },
  {
    name: "a content type of 8,000 characters",
    bytes: post(REGISTER, [HOST, `Content-Type: ${"a/".repeat(4_000)}`, LENGTH]),
    answer: 415,
  },
  {
    name: "a coding that is not known",
    bytes: post(REGISTER, [HOST, TYPE, LENGTH, "Content-Encoding: zip"]),
    answer: 501,
  },
  { name: "what is not gzip", bytes: post(REGISTER, [HOST, TYPE, LENGTH, "Content-Encoding: gzip"]) },
  { name: "what is not JSON", bytes: post(REGISTER, [HOST, TYPE, "Content-Length: 2"], "{[") },
  { name: "a timeout that is none", bytes: post(REGISTER, [HOST, TYPE, LENGTH, "Connect-Timeout-Ms: soon"]) },
  {
    name: "a timeout of 300 years",
    bytes: post(REGISTER, [HOST, TYPE, LENGTH, "Connect-Timeout-Ms: 9999999999999"]),
    answer: "understood",
  },
  {
    name: "a version of Connect that is none",
    bytes: post(REGISTER, [HOST, TYPE, LENGTH, "Connect-Protocol-Version: 9"]),
  },
  {
    name: "__proto__ as a header",
    bytes: post(REGISTER, [HOST, TYPE, LENGTH, "__proto__: x", "constructor: y"]),
    answer: "understood",
  },
  {
    name: "Latin-1 in a header",
    bytes: post(REGISTER, [HOST, TYPE, LENGTH, "X-A: \u00e9\u00ff"]),
    answer: "understood",
  },
];

/** Whole requests, which have one right answer on either port. */
export const HTTP1_TO_BOTH: Http1Case[] = [
  ...[
    "//",
    "///",
    "/\\",
    "/%",
    "/%00",
    "/..%2f",
    "/?",
    "/x?",
    "*",
    "http://",
    "http://[",
    "http://localhost:99999/",
    "/a#b",
    `/${"a".repeat(8_000)}`,
  ].map((target) => ({
    name: `target ${target.slice(0, 30)}`,
    bytes: `GET ${target} HTTP/1.1\r\n${HOST}\r\n\r\n`,
    answer: 404,
  })),
  { name: "a target with a space", bytes: `GET /a b HTTP/1.1\r\n${HOST}\r\n\r\n` },
  { name: "no target", bytes: `GET HTTP/1.1\r\n${HOST}\r\n\r\n` },
  { name: "OPTIONS *", bytes: `OPTIONS * HTTP/1.1\r\n${HOST}\r\n\r\n`, answer: 204 },
  { name: "OPTIONS /", bytes: `OPTIONS / HTTP/1.0\r\n\r\n`, answer: 204 },
  { name: "CONNECT", bytes: "CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n", answer: 405 },
  { name: "a method that is none", bytes: `HELLO / HTTP/1.1\r\n${HOST}\r\n\r\n` },
  { name: "a method in lower case", bytes: `get / HTTP/1.1\r\n${HOST}\r\n\r\n` },
  { name: "another protocol", bytes: "SSH-2.0-OpenSSH_9.2\r\n\r\n" },
  { name: "HTTP/0.9", bytes: "GET /\r\n\r\n" },
  { name: "HTTP/9.9", bytes: `GET / HTTP/9.9\r\n${HOST}\r\n\r\n` },
  { name: "the preface of HTTP/2", bytes: PREFACE.toString("latin1") },
  {
    name: "an upgrade to HTTP/2",
    bytes: `GET /x HTTP/1.1\r\n${HOST}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
    answer: 404,
  },
  {
    name: "an upgrade to a web socket",
    bytes: `GET /ws/terminal/ HTTP/1.1\r\n${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n`,
    answer: 404,
  },
  { name: "Expect: 100-continue", bytes: post("/x", [HOST, LENGTH, "Expect: 100-continue"], BODY), answer: 100 },
  { name: "another expectation", bytes: post("/x", [HOST, LENGTH, "Expect: a miracle"]), answer: 417 },
  {
    name: "Content-Length and Transfer-Encoding",
    bytes: post("/x", [HOST, "Content-Length: 4", "Transfer-Encoding: chunked"], "0\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
  },
  { name: "two Content-Lengths", bytes: post("/x", [HOST, "Content-Length: 2", "Content-Length: 3"]) },
  { name: "a negative Content-Length", bytes: post("/x", [HOST, "Content-Length: -1"]) },
  { name: "a Content-Length of 30 digits", bytes: post("/x", [HOST, `Content-Length: ${"9".repeat(30)}`]) },
  { name: "a Content-Length in hex", bytes: post("/x", [HOST, "Content-Length: 0x2"]) },
  { name: "Transfer-Encoding that is not chunked", bytes: post("/x", [HOST, "Transfer-Encoding: chunked, identity"]) },
  { name: "a space before the colon", bytes: `GET / HTTP/1.1\r\nHost : localhost\r\n\r\n` },
  { name: "a header without a name", bytes: `GET / HTTP/1.1\r\n${HOST}\r\n: x\r\n\r\n` },
  { name: "NUL in a header", bytes: `GET / HTTP/1.1\r\n${HOST}\r\nX-A: a\0b\r\n\r\n` },
  { name: "lines that end in LF", bytes: "GET / HTTP/1.1\nHost: localhost\n\n" },
  { name: "a folded header", bytes: `GET / HTTP/1.1\r\n${HOST}\r\nX-A: a\r\n b\r\n\r\n` },
  { name: "headers of 20 KB", bytes: `GET / HTTP/1.1\r\n${HOST}\r\nX-A: ${"a".repeat(20_000)}\r\n\r\n`, answer: 431 },
  { name: "3,000 headers", bytes: `GET / HTTP/1.1\r\n${HOST}\r\n${"a:b\r\n".repeat(3_000)}\r\n` },
  { name: "a chunk size that is none", bytes: post("/x", [HOST, "Transfer-Encoding: chunked"], "zz\r\n"), end: true },
  {
    name: "a chunk of 2^64",
    bytes: post("/x", [HOST, "Transfer-Encoding: chunked"], "fffffffffffffffff\r\n"),
    end: true,
  },
  { name: "half a request line", bytes: "GET /heal", end: true },
  { name: "half the headers", bytes: "GET /healthz HTTP/1.1\r\nHost: loc", end: true },
  { name: "half a body", bytes: post(REGISTER, [HOST, TYPE, "Content-Length: 100"], "{"), end: true },
  { name: "half a chunk", bytes: post(REGISTER, [HOST, TYPE, "Transfer-Encoding: chunked"], "5\r\n{"), end: true },
  { name: "nothing", bytes: "", end: true },
  { name: "line ends only", bytes: "\r\n\r\n\r\n", end: true },
  { name: "a TLS record", bytes: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", end: true },
  { name: "64 KB of noise", bytes: "\xff\x00".repeat(32_000), end: true },
];

/** What comes instead of a TLS handshake, or breaks one off. */
export const INSTEAD_OF_TLS: { name: string; bytes: Buffer | string; reset?: true }[] = [
  { name: "HTTP", bytes: `GET / HTTP/1.1\r\n${HOST}\r\n\r\n` },
  { name: "HTTP/2 without TLS", bytes: PREFACE },
  { name: "noise", bytes: Buffer.alloc(4_096, 0xa5) },
  { name: "half a ClientHello", bytes: Buffer.from("16030102000100", "hex") },
  { name: "half a ClientHello and a reset", bytes: Buffer.from("16030102000100", "hex"), reset: true },
  { name: "an alert", bytes: Buffer.from("15030100020228", "hex") },
  { name: "a record of 64 KB", bytes: Buffer.from("160301ffff", "hex") },
  { name: "SSL 2", bytes: Buffer.from("802e0100020015000000100100800200800300800400800500800600400700c0", "hex") },
  { name: "nothing", bytes: "" },
  { name: "a reset", bytes: "", reset: true },
];
