import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { HeartbeatRequestSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { clampTimeout } from "../../dist/rpc/screening/timeout-header.js";
import { enrol } from "../support/agents/field-agent.js";
import { startTestService } from "../support/service.js";
import {
  callRaw,
  connectRaw,
  envelope,
  type RawCall,
  type RawProtocol,
  rawHeaders,
  readAnswer,
  sendRaw,
} from "../support/wire/raw-call.js";

const INVALID = { grpc: Code.INVALID_ARGUMENT, connect: "invalid_argument" };
const EXHAUSTED = { grpc: Code.RESOURCE_EXHAUSTED, connect: "resource_exhausted" };
const UNIMPLEMENTED = { grpc: Code.UNIMPLEMENTED, connect: "unimplemented" };
const OK = { grpc: Code.OK, connect: 0 };

const answer = (protocol: RawProtocol, code: typeof INVALID | typeof OK, message = /^/) => ({
  code: protocol.startsWith("grpc") ? code.grpc : code.connect,
  message,
});

/** A field, so many times. */
const repeat = (times: number, ...field: number[]) => Buffer.alloc(times * field.length, Buffer.from(field));
const json = (text: string) => Buffer.from(text);

const service = await startTestService(t);

t.test("a call that nobody authenticated is read only within its limits", async (t) => {
  const session = await connectRaw(service);
  t.teardown(() => session.destroy());
  const inJson = { method: "Register", format: "json" } as const;
  const cases: [string, Omit<RawCall, "protocol">, Buffer, typeof INVALID, RegExp][] = [
    ["many bytes", { method: "Register" }, repeat(65_537, 0), EXHAUSTED, /larger than the 65536 bytes/],
    ["many bytes", { method: "RenewCertificate" }, repeat(65_537, 0), EXHAUSTED, /larger than the 65536 bytes/],
    ["many tags", { method: "Register" }, repeat(20_000, 0x2a, 0), EXHAUSTED, /more than 4096 fields/],
    ["unknown fields", { method: "RenewCertificate" }, repeat(20_000, 0x78, 0), EXHAUSTED, /more than 4096 fields/],
    ["many objects", inJson, json(`{"x":[${"{},".repeat(9_999)}{}]}`), EXHAUSTED, /more than 4096 values/],
    ["deep", inJson, json(`{"x":${"[".repeat(30_000)}`), INVALID, /nested more than 32 deep/],
    ["many digits", inJson, json(`{"x":"${"9".repeat(401)}"}`), INVALID, /more than 400 digits/],
    ["many escaped digits", inJson, json(`{"x":"${"\\u0039".repeat(401)}"}`), INVALID, /more than 400 digits/],
    ["no JSON", inJson, json("{"), INVALID, /JSON/],
    ["groups", { method: "Register" }, repeat(9_999, 0xa3, 6), INVALID, /wire type 3/],
    ["another type", { method: "Register" }, Buffer.from([0x08, 1]), INVALID, /org_token is of another type/],
    ["no UTF-8", { method: "Register" }, Buffer.from([0x0a, 1, 0xff]), INVALID, /org_token is not UTF-8/],
    ["a field that breaks off", { method: "Register" }, Buffer.from([0x0a, 5, 65]), INVALID, /org_token breaks off/],
    ["a message beyond its end", { method: "Register" }, Buffer.from([0x1a, 2, 0x0a, 5]), INVALID, /os breaks off/],
  ];
  for (const protocol of ["grpc", "grpc-web", "connect unary"] as const) {
    for (const [name, call, message, code, told] of cases) {
      const got = await callRaw(session, { ...call, protocol }, message);
      t.match(got, answer(protocol, code, told), `${call.method}, ${protocol}: ${name}`);
    }
    const gzip = { [protocol === "connect unary" ? "content-encoding" : "grpc-encoding"]: "gzip" };
    const bomb = { method: "Register", protocol, headers: gzip } as const;
    t.match(
      await callRaw(session, bomb, gzipSync(repeat(60_000, 0x2a, 0))),
      answer(protocol, UNIMPLEMENTED, /compressed with gzip/),
      `${protocol}: gzip`,
    );
  }
});

t.test("what a stream sends is read within its limits, compressed or not", async (t) => {
  const identity = await enrol(service, await service.createToken());
  const session = await connectRaw(service, identity);
  t.teardown(() => session.destroy());
  const heartbeat = toBinary(HeartbeatRequestSchema, create(HeartbeatRequestSchema, { agentId: identity.jwt }));
  const result = { checkId: "nobody's", status: "pass", output: "x".repeat(950), durationMs: 1, ranAtUnix: 1n };
  const checkResults = Array.from({ length: 4_000 }, () => result);
  const piledUp = toBinary(
    HeartbeatRequestSchema,
    create(HeartbeatRequestSchema, { agentId: identity.jwt, checkResults }),
  );
  const disks = repeat(25_000, 0x4a, 0);
  const longJson = json(`{"agentVersion":"${"x".repeat(1024 * 1024)}"}`);
  const inJson = { method: "Heartbeat", protocol: "connect stream", format: "json" } as const;
  t.match(
    await sendRaw(session, inJson, envelope(longJson)),
    answer("connect stream", EXHAUSTED, /larger than the 1048576/),
  );
  const INTERNAL = { grpc: Code.INTERNAL, connect: "internal" };
  for (const protocol of ["grpc", "grpc-web", "connect stream"] as const) {
    const encoding = protocol === "connect stream" ? "connect-content-encoding" : "grpc-encoding";
    const plain = { method: "Heartbeat", protocol } as const;
    const zipped = { ...plain, headers: { [encoding]: "gzip" } };
    const cases: [string, RawCall, Buffer, typeof INVALID | typeof OK, RegExp][] = [
      ["a heartbeat", plain, envelope(heartbeat), OK, /^$/],
      ["gzip", zipped, envelope(gzipSync(heartbeat), 1), OK, /^$/],
      ["what piled up without a stream", plain, envelope(piledUp), OK, /^$/],
      ["not all are compressed", zipped, envelope(heartbeat), OK, /^$/],
      ["many bytes", plain, Buffer.from([0, 0, 0x40, 0, 1]), EXHAUSTED, /larger than the 4194304 bytes/],
      ["many fields", plain, envelope(disks), EXHAUSTED, /more than 24576 fields/],
      ["gzip of many bytes", zipped, envelope(gzipSync(repeat(9_999_999, 0)), 1), EXHAUSTED, /larger than/],
      ["gzip of many fields", zipped, envelope(gzipSync(disks), 1), EXHAUSTED, /more than 24576/],
      ["gzip that is none", zipped, envelope(heartbeat, 1), INVALID, /not gzip/],
      ["compressed with what?", plain, envelope(gzipSync(heartbeat), 1), INTERNAL, /does not say how/],
      ["flags", plain, envelope(heartbeat, 2), INVALID, /flags 2 are not defined/],
      ["flags of trailers", plain, envelope(heartbeat, 0x80), INVALID, /flags 128 are not defined/],
      ["half a header", plain, Buffer.alloc(3), INVALID, /breaks off/],
      ["half a message", plain, envelope(heartbeat).subarray(0, -1), INVALID, /breaks off/],
    ];
    for (const [name, call, body, code, told] of cases) {
      t.match(await sendRaw(session, call, body), answer(protocol, code, told), `${protocol}: ${name}`);
    }
  }
});

t.test("a message may arrive in single bytes, and is refused as soon as it is announced too large", async (t) => {
  const session = await connectRaw(service);
  t.teardown(() => session.destroy());
  const call = { method: "Register", protocol: "grpc" } as const;
  const stream = session.request(rawHeaders(call));
  const answered = readAnswer(stream, "grpc");
  for (const byte of envelope(Buffer.from([0x0a, 1, 65]))) {
    await new Promise((resolve) => stream.write(Buffer.from([byte]), resolve));
  }
  stream.end();
  t.match(await answered, { code: Code.INVALID_ARGUMENT, message: /public_key: missing/ });

  const endless = session.request(rawHeaders(call));
  const refused = readAnswer(endless, "grpc");
  endless.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
  t.match(await refused, { code: Code.RESOURCE_EXHAUSTED }, "without waiting for the rest");
});

t.test("a deadline that no timer can hold becomes the longest one that it can", async (t) => {
  const clamped = (headers: Record<string, string>) => {
    const header = new Headers(headers);
    clampTimeout(header);
    return Object.fromEntries(header);
  };
  for (const [name, sent, longest] of [
    ["grpc-timeout", "99999999H", "2147483S"],
    ["grpc-timeout", "2147484S", "2147483S"],
    ["grpc-timeout", "35792M", "2147483S"],
    ["connect-timeout-ms", "9999999999", "2147483647"],
    ["connect-timeout-ms", "2147483648", "2147483647"],
  ] as const) {
    t.same(clamped({ [name]: sent }), { [name]: longest }, sent);
  }
  for (const headers of [
    { "grpc-timeout": "2147483S" },
    { "grpc-timeout": "soon" },
    { "connect-timeout-ms": "1e12" },
  ]) {
    t.same(clamped(headers), headers, "as it is");
  }
});
