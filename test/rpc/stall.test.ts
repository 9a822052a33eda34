import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { HeartbeatRequestSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { enrol } from "../support/agents/field-agent.js";
import { measureLongestTurn } from "../support/longest-turn.js";
import { startTestService } from "../support/service.js";
import { callRaw, connectRaw, envelope, type RawCall, sendRaw } from "../support/wire/raw-call.js";

const MAX_STALL_MS = 50;
/** Code is compiled and garbage collected in between; a request that holds the service up does so every time. */
const TRIES = 5;
const SMALL_BYTES = 64 * 1024;
const LARGE_BYTES = 4 * 1024 * 1024;

const repeat = (times: number, ...field: number[]) => Buffer.alloc(times * field.length, Buffer.from(field));

/** A field of text or bytes that is this long, or a character less. */
function field(number: number, maxBytes: number, content: string): Buffer {
  const size = Buffer.byteLength(content);
  const length = size * Math.floor((maxBytes - 6) / size);
  const lengthBytes = [0, 7, 14, 21].map((shift) => ((length >> shift) & 0x7f) | (shift < 21 ? 0x80 : 0));
  return Buffer.concat([Buffer.from([number * 8 + 2, ...lengthBytes]), Buffer.alloc(length, content)]);
}

async function expectNoStall(t: Test, name: string, call: () => Promise<unknown>): Promise<void> {
  let leastMs = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < TRIES && leastMs >= MAX_STALL_MS; tries++) {
    leastMs = Math.min(leastMs, (await measureLongestTurn(call)).longestMs);
  }
  t.ok(leastMs < MAX_STALL_MS, `${name}: ${Math.round(leastMs)} ms`);
}

t.test("no request within the limits holds up the others", async (t) => {
  const service = await startTestService(t);
  const identity = await enrol(service, await service.createToken());
  const session = await connectRaw(service, identity);
  t.teardown(() => session.destroy());

  const small: [string, Buffer][] = [
    ["empty tags", repeat(4_096, 0x2a, 0)],
    ["unknown fields", repeat(4_096, 0x78, 0)],
    ["one message many times", repeat(4_096, 0x1a, 0)],
    ["addresses", Buffer.concat([Buffer.from([0x1a, 0xfe, 0x3f]), repeat(4_095, 0x22, 0)])],
    ["a long token", field(1, SMALL_BYTES, "é")],
    ["a long key", field(2, SMALL_BYTES, "-----BEGIN PUBLIC KEY-----\n")],
    ["a key of spaces", field(2, SMALL_BYTES, " ")],
    ["a long CSR", field(6, SMALL_BYTES, "0\0")],
    ["a long unknown field", field(15, SMALL_BYTES, "é")],
  ];
  for (const method of ["Register", "RenewCertificate"] as const) {
    for (const [name, message] of small) {
      await expectNoStall(t, `${method}: ${name}`, () => callRaw(session, { method, protocol: "grpc" }, message));
    }
  }

  const inJson: [string, string][] = [
    ["objects", `{"x":[${"{},".repeat(2_000)}{}]}`],
    ["tags", `{"tags":[${"{},".repeat(2_000)}{}]}`],
    ["names", `{${Array.from({ length: 4_000 }, (_, n) => `"k${n}":0`)}}`],
    ["nested", `{"x":[${`${"[".repeat(30)}${"]".repeat(30)},`.repeat(130)}0]}`],
    ["escapes", `{"orgToken":"${"\\u00e9".repeat(10_000)}"}`],
    ["base64", `{"csrDer":"${"A".repeat(65_000)}"}`],
    ["nearly base64", `{"csrDer":"${"A".repeat(65_000)}*"}`],
    ["numbers", `{"x":[${`${"9".repeat(400)},`.repeat(150)}0]}`],
  ];
  for (const [name, text] of inJson) {
    const call: RawCall = { method: "Register", protocol: "connect unary", format: "json" };
    await expectNoStall(t, `Register, JSON: ${name}`, () => callRaw(session, call, Buffer.from(text)));
  }

  const jwt = toBinary(HeartbeatRequestSchema, create(HeartbeatRequestSchema, { agentId: identity.jwt }));
  const large: [string, Buffer][] = [
    ["disks", Buffer.concat([jwt, repeat(24_000, 0x4a, 0)])],
    ["interfaces", Buffer.concat([jwt, repeat(24_000, 0x52, 0)])],
    ["addresses", Buffer.concat([jwt, field(10, 48_005, "\x12\0")])],
    ["check results", Buffer.concat([jwt, repeat(24_000, 0x6a, 0)])],
    ["a long version", Buffer.concat([jwt, field(7, LARGE_BYTES - 2_000, "é")])],
    ["a version of NULs", Buffer.concat([jwt, field(7, LARGE_BYTES - 2_000, "\0")])],
    ["a long JWT", field(1, LARGE_BYTES, "a")],
    ["a JWT of dots", field(1, LARGE_BYTES, ".")],
    ["a JWT of headers", field(1, LARGE_BYTES, `${Buffer.from('{"alg":"RS256"}').toString("base64url")}.`)],
  ];
  for (const [name, message] of large) {
    const call: RawCall = { method: "Heartbeat", protocol: "grpc", headers: { "grpc-encoding": "gzip" } };
    await expectNoStall(t, `Heartbeat: ${name}`, () => sendRaw(session, call, envelope(message)));
    const zipped = envelope(gzipSync(message), 1);
    await expectNoStall(t, `Heartbeat, gzip: ${name}`, () => sendRaw(session, call, zipped));
  }
  const largeJson: [string, string][] = [
    ["numbers", `{"disks":[${`{"totalBytes":"${"9".repeat(400)}"},`.repeat(2_000)}{}]}`],
    ["escapes", `{"agentVersion":"${"\\u00e9".repeat(170_000)}"}`],
    ["digits", `{"uptimeSeconds":"${"9".repeat(400)}"}`],
  ];
  for (const [name, text] of largeJson) {
    const call: RawCall = { method: "Heartbeat", protocol: "connect stream", format: "json" };
    await expectNoStall(t, `Heartbeat, JSON: ${name}`, () => callRaw(session, call, Buffer.from(text)));
  }
});
