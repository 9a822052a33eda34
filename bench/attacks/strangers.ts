import type { ClientHttp2Session } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { RegisterRequestSchema } from "#gen/agent/v1/registration_pb.js";
import { createAgentKey } from "../../dist/agent/index.js";
import { connectRaw, envelope, type RawCall, sendRaw } from "../../test-dist/support/wire/raw-call.js";
import type { Attack, Attempt, Mark } from "./types.js";

const CONNECTIONS = 8;
const IDLE_MS = 1_000;
const GRPC: RawCall = { method: "Register", protocol: "grpc" };
const GZIPPED: RawCall = { ...GRPC, headers: { "grpc-encoding": "gzip" } };
const JSON_CALL: RawCall = { method: "Register", protocol: "connect unary", format: "json" };
const GZIPPED_JSON: RawCall = { ...JSON_CALL, headers: { "content-encoding": "gzip" } };

/** A request, byte by byte. */
type Request = [call: RawCall, body: Buffer];

/** What anybody can do who reaches the port. */
export const strangersAttacks: Record<string, Attack> = {
  // For comparison: how far the waits of two stretches of time differ by themselves.
  nothing: { atOnce: 1, prepare: async () => () => delay(IDLE_MS, "idle") },
  "decoded-size": { atOnce: 60, prepare: async (mark) => sendInTurn(mark, bombs()) },
  refusals: { atOnce: 32, prepare: async (mark) => sendInTurn(mark, await hopelessRegistrations()) },
};

/** Little on the wire, or as much as is taken, that is large when it is decoded. */
function bombs(): Request[] {
  const emptyTags = Buffer.alloc(4_000_000, Buffer.from([0x2a, 0]));
  const unknownFields = Buffer.alloc(4_000_000, Buffer.from([0x78, 0]));
  const objects = (count: number) => Buffer.from(`{"tags":[${"{},".repeat(count)}{}]}`);
  const nested = (depth: number) => Buffer.from(`{"x":${"[".repeat(depth)}${"]".repeat(depth)}}`);
  return [
    [GZIPPED, envelope(gzipSync(emptyTags), 1)],
    [GZIPPED, envelope(gzipSync(unknownFields), 1)],
    [GRPC, envelope(emptyTags.subarray(0, 64_000))],
    [GRPC, envelope(emptyTags.subarray(0, 8_000))],
    [GRPC, envelope(unknownFields.subarray(0, 8_000))],
    [GZIPPED_JSON, gzipSync(objects(2_000_000))],
    [GZIPPED_JSON, gzipSync(nested(2_000_000))],
    [JSON_CALL, objects(20_000)],
    [JSON_CALL, objects(2_000)],
    [JSON_CALL, nested(30_000)],
  ];
}

async function hopelessRegistrations(): Promise<Request[]> {
  const unknownTokens = Array.from({ length: 200 }, async (_, index): Promise<Request> => {
    const key = createAgentKey();
    const registration = create(RegisterRequestSchema, {
      orgToken: `guess-${index}`.padEnd(43, "x"),
      publicKey: key.publicKeyPem,
      csrDer: await key.createCsr(),
      platformInfo: { os: "linux", arch: "amd64" },
      agentInfo: { hostname: `stranger-${index}`, version: "v1" },
    });
    return [GRPC, envelope(toBinary(RegisterRequestSchema, registration))];
  });
  const malformed = Array.from({ length: 200 }, (_, index): Request => {
    const registration = create(RegisterRequestSchema, { agentInfo: { hostname: `malformed-${index}` } });
    return [GRPC, envelope(toBinary(RegisterRequestSchema, registration))];
  });
  return [...(await Promise.all(unknownTokens)), ...malformed, [GRPC, envelope(Buffer.from("no protobuf"))]];
}

/** Sends requests over and over, over a few connections that are made again when they break. */
async function sendInTurn({ port, ca }: Mark, requests: readonly Request[]): Promise<Attempt> {
  const sessions: (Promise<ClientHttp2Session> | undefined)[] = [];
  const connect = async (index: number) => {
    const session = await connectRaw({ address: `localhost:${port}`, ca });
    session.on("error", () => {});
    session.once("close", () => {
      sessions[index] = undefined;
    });
    return session;
  };
  let next = 0;
  return async (lane) => {
    const index = lane % CONNECTIONS;
    sessions[index] ??= connect(index);
    const [call, body] = requests[next++ % requests.length] as Request;
    try {
      const { code } = await sendRaw(await sessions[index], call, body);
      return Number.isNaN(code) ? "reset" : String(code);
    } catch {
      sessions[index] = undefined;
      return "connection broken";
    }
  };
}
