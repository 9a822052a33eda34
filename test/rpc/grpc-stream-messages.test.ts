import { gzipSync } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import t from "tap";
import { HeartbeatResponseSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { envelope } from "../support/wire/raw-call.js";
import { encoded, message, type RawStream } from "../support/wire/raw-stream.js";
import { expectAlike, type StreamCase } from "../support/wire/stream-cases.js";
import {
  COMPRESS_MIN_BYTES,
  type HeartbeatImpl,
  MAX_BYTES,
  startStreamServers,
} from "../support/wire/stream-servers.js";

const ALPHABET = "abcdefghijklmnopqrstuvwxyz";
const GZIP = { "grpc-encoding": "gzip" };
const ACK_BYTES = message("a").length + 2;

const sending =
  (...pieces: Uint8Array[]) =>
  (call: RawStream) => {
    for (const piece of pieces) call.write(piece);
    call.stream.end();
  };

const zipped = (agentId: string) => envelope(gzipSync(encoded(agentId)), 1);

/** An answer that is worth compressing. */
const large: HeartbeatImpl = async function* () {
  yield { ok: true, command: "a".repeat(2 * COMPRESS_MIN_BYTES) };
};

/** One message object, changed between the answers. */
const changing: HeartbeatImpl = async function* () {
  const answer = create(HeartbeatResponseSchema, { ok: true });
  for (const command of ["first", "second"]) {
    answer.command = command;
    yield answer;
  }
};

/** One message object that cannot change. */
const frozen: HeartbeatImpl = async function* () {
  const answer = Object.freeze(create(HeartbeatResponseSchema, { ok: true, command: "the same" }));
  yield answer;
  yield answer;
};

async function sendByteByByte(call: RawStream): Promise<void> {
  for (const byte of Buffer.concat([message("first"), message("second")])) {
    await new Promise<void>((resolve) => call.stream.write(Buffer.of(byte), () => resolve()));
  }
  call.stream.end();
}

async function sendInTurns(call: RawStream): Promise<void> {
  for (let sent = 1; sent <= 3; sent++) {
    call.write(message("a"));
    await call.received(sent * ACK_BYTES);
  }
  call.stream.end();
}

const cases: StreamCase[] = [
  { name: "a message", code: 0, answers: 1 },
  { name: "no message", send: sending(), code: 0 },
  { name: "an empty message", send: sending(envelope(Buffer.alloc(0))), code: 0, answers: 1 },
  {
    name: "several in one piece",
    send: sending(Buffer.concat([..."abc"].map((id) => message(id)))),
    code: 0,
    answers: 3,
  },
  { name: "in single bytes", send: sendByteByByte, code: 0, answers: 2 },
  { name: "each after the answer to the one before", send: sendInTurns, code: 0, answers: 3 },
  { name: "answers out of one object that changes", implementation: changing, code: 0, answers: 2 },
  { name: "answers out of one object that is frozen", implementation: frozen, code: 0, answers: 2 },
  {
    name: "the end of one, and the beginning of the next",
    send: sending(
      message(ALPHABET).subarray(0, 9),
      Buffer.concat([message(ALPHABET).subarray(9), message("b").subarray(0, 3)]),
      message("b").subarray(3),
    ),
    code: 0,
    answers: 2,
  },
  { name: "one as large as they may be", send: sending(message("a".repeat(MAX_BYTES - 4))), code: 0, answers: 1 },
  {
    name: "one that is larger",
    send: sending(message("a".repeat(MAX_BYTES))),
    code: 8,
    message: /larger than the 100000 bytes/,
  },
  { name: "one that is announced to be larger", send: (call) => call.write(Buffer.from("00ffffffff", "hex")), code: 8 },
  {
    name: "too many fields",
    send: sending(envelope(Buffer.alloc(202, Buffer.from([0x4a, 0])))),
    code: 8,
    message: /more than 100 fields/,
  },
  { name: "a good one before a bad one", send: sending(message("a"), envelope(Buffer.of(0xff))), code: 3, answers: 1 },
  {
    name: "one that is none",
    send: sending(envelope(Buffer.from("no message"))),
    code: 3,
    message: /^malformed request/,
  },
  {
    name: "text that is not UTF-8",
    send: sending(envelope(Buffer.from([0x0a, 1, 0xff]))),
    code: 3,
    message: /not UTF-8/,
  },
  { name: "an unknown field", send: sending(envelope(Buffer.from([0xf8, 1, 1]))), code: 0, answers: 1 },
  { name: "half an envelope's head", send: sending(message("a").subarray(0, 3)), code: 3, message: /breaks off/ },
  { name: "half a message", send: sending(message(ALPHABET).subarray(0, 12)), code: 3, message: /breaks off/ },
  { name: "a good one, then half a head", send: sending(message("a"), Buffer.of(0)), code: 3, answers: 1 },
  ...[2, 3, 0x80, 0xff].map((flags) => ({
    name: `envelope flags ${flags}`,
    send: sending(message("a", flags)),
    code: 3,
    message: /flags \d+ are not defined/,
  })),
  { name: "gzip", headers: GZIP, send: sending(zipped("a"), zipped("b"), message("c")), code: 0, answers: 3 },
  { name: "gzip of nothing", headers: GZIP, send: sending(envelope(Buffer.alloc(0), 1)), code: 0, answers: 1 },
  { name: "gzip that was not announced", send: sending(zipped("a")), code: 13, message: /does not say how/ },
  { name: "gzip that is none", headers: GZIP, send: sending(message("a", 1)), code: 3, message: /not gzip/ },
  { name: "half of gzip", headers: GZIP, send: sending(envelope(gzipSync(encoded("a")).subarray(0, 12), 1)), code: 3 },
  {
    name: "gzip of too much",
    headers: GZIP,
    send: sending(zipped("a".repeat(MAX_BYTES))),
    code: 8,
    message: /larger than/,
  },
  { name: "identity", headers: { "grpc-encoding": "identity" }, code: 0, answers: 1 },
  { name: "identity, compressed", headers: { "grpc-encoding": "identity" }, send: sending(zipped("a")), code: 13 },
  { name: "an unknown compression", headers: { "grpc-encoding": "snappy" }, code: 12, message: /snappy/ },
  { name: "an unknown compression, and no message", headers: { "grpc-encoding": "br" }, send: sending(), code: 12 },
  ...["gzip", "br", "identity,deflate,gzip", "snappy, gzip", "snappy", "identity", ""].map((accepted) => ({
    name: `takes ${accepted}`,
    headers: { "grpc-accept-encoding": accepted },
    implementation: large,
    code: 0,
    answers: 1,
  })),
  { name: "takes gzip, and the answer is short", headers: { "grpc-accept-encoding": "gzip" }, code: 0, answers: 1 },
  { name: "sends gzip, and does not say what it takes", headers: GZIP, implementation: large, code: 0, answers: 1 },
];

t.test("messages in their envelopes are read and written as Connect does it", async (t) => {
  const servers = await startStreamServers(t);
  for (const oneCase of cases) await expectAlike(t, servers, oneCase);
});
