import { gzipSync } from "node:zlib";
import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import { HeartbeatRequestSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { RenewCertificateRequestSchema, SoftwareInventoryChunkSchema } from "#gen/agent/v1/ingest_pb.js";
import { RegisterRequestSchema } from "#gen/agent/v1/registration_pb.js";
import { createTestCsr, createTestKey, type TestIdentity } from "../support/agents/field-agent.js";
import { envelope, type RawCall } from "../support/wire/raw-call.js";
import type { Random } from "./random.js";

/** A request, or a reading of bytes that the service does outside of one. */
export type Input =
  | { kind: "call"; call: RawCall; body: Buffer; isIdentified: boolean }
  | { kind: "certificate" | "token"; body: Buffer };

/** What inputs are made from. */
export interface Seeds {
  agent: TestIdentity;
  certificateDer: Buffer;
  token: string;
}

/** Makes an input of one kind out of what is valid. */
export const INPUTS: Record<string, (random: Random, seeds: Seeds) => Input> = {
  registration: (random, seeds) =>
    register(random, random.mutate(toBinary(RegisterRequestSchema, newMachine(random, seeds)))),
  "registration with odd values": (random, seeds) =>
    register(random, toBinary(RegisterRequestSchema, oddMachine(random, seeds))),
  "registration in JSON": (random, seeds) => {
    const json = Buffer.from(toJsonString(RegisterRequestSchema, newMachine(random, seeds)));
    return call("Register", "connect unary", random.mutate(json), { format: "json" });
  },
  "CSR of a registration": (random, seeds) => {
    const request = newMachine(random, seeds);
    request.csrDer = new Uint8Array(random.mutate(request.csrDer));
    return register(random, toBinary(RegisterRequestSchema, request));
  },
  "CSR of a renewal": (random, { agent }) => {
    const csrDer = new Uint8Array(random.mutate(createTestCsr(agent.key)));
    const message = toBinary(
      RenewCertificateRequestSchema,
      create(RenewCertificateRequestSchema, { agentId: agent.agentId, csrDer }),
    );
    return identified("RenewCertificate", "grpc", envelope(message));
  },
  heartbeat: (random, seeds) => stream(random, random.mutate(toBinary(HeartbeatRequestSchema, report(random, seeds)))),
  "heartbeat with odd values": (random, seeds) =>
    stream(random, toBinary(HeartbeatRequestSchema, report(random, seeds))),
  "token of a heartbeat": (random, { agent }) => {
    const jwt = random.mutate(Buffer.from(agent.jwt)).toString("latin1");
    return stream(random, toBinary(HeartbeatRequestSchema, create(HeartbeatRequestSchema, { agentId: jwt })));
  },
  envelopes: (random, seeds) => {
    const message = toBinary(HeartbeatRequestSchema, report(random, seeds));
    const zipped = gzipSync(message);
    const body = random.mutate(
      Buffer.concat([
        envelope(message),
        envelope(zipped, 1),
        envelope(random.bytes(random.below(40)), random.below(256)),
      ]),
    );
    return identified(
      random.pick(["Heartbeat", "Register", "SubmitSoftwareInventory"]),
      random.pick(["grpc", "grpc-web", "connect stream"]),
      body,
      headers(random),
    );
  },
  inventory: (random, { agent }) => {
    const packages = Array.from({ length: random.below(5) }, () => ({
      name: random.text(),
      version: random.text(),
      installDateUnix: BigInt(random.number()),
    }));
    const chunk = {
      scanId: random.text(),
      agentId: agent.agentId,
      source: random.text(),
      chunkIndex: random.below(3),
      isLast: random.chance(0.5),
      packages,
    };
    const message = random.mutate(
      toBinary(SoftwareInventoryChunkSchema, create(SoftwareInventoryChunkSchema, wellFormed(chunk))),
    );
    return identified("SubmitSoftwareInventory", "grpc", envelope(message), { authorization: `Bearer ${agent.jwt}` });
  },
  certificate: (random, { certificateDer }) => ({ kind: "certificate", body: random.mutate(certificateDer) }),
  "access token": (random, { agent }) => ({ kind: "token", body: random.mutate(Buffer.from(agent.jwt)) }),
};

function newMachine(random: Random, { token }: Seeds) {
  const key = createTestKey();
  return create(RegisterRequestSchema, {
    orgToken: token,
    publicKey: random.pick([key.rawPem, key.spkiPem]),
    csrDer: new Uint8Array(createTestCsr(key)),
    platformInfo: { os: "linux", arch: "amd64", ipAddresses: [`10.${random.below(256)}.${random.below(256)}.1`] },
    agentInfo: { version: "v1", hostname: `fuzz-${random.below(1e9)}` },
    tags: [{ key: "a", value: "b" }],
  });
}

function oddMachine(random: Random, seeds: Seeds) {
  const texts = () => Array.from({ length: random.below(5) }, () => random.text());
  const odd = {
    orgToken: random.chance(0.5) ? seeds.token : random.text(),
    platformInfo: { os: random.text(), arch: random.text(), osVersion: random.text(), ipAddresses: texts() },
    agentInfo: { agentId: random.text(), version: random.text(), hostname: random.text() },
    tags: texts().map((key) => ({ key, value: random.text() })),
  };
  const { publicKey, csrDer } = newMachine(random, seeds);
  return create(RegisterRequestSchema, { publicKey, csrDer, ...wellFormed(odd) });
}

function report(random: Random, { agent }: Seeds) {
  const id = random.text();
  return create(HeartbeatRequestSchema, {
    agentId: random.chance(0.8) ? agent.jwt : agent.agentId,
    ...wellFormed({
      cpuPercent: random.number(),
      uptimeSeconds: BigInt(random.number()),
      timestampUnix: BigInt(random.number()),
      agentVersion: random.text(),
      os: random.text(),
      disks: [
        { mountPoint: random.text(), totalBytes: BigInt(Math.abs(random.number())), percentUsed: random.number() },
      ],
      networkInterfaces: [{ name: random.text(), ipAddresses: [random.text(), `10.0.0.${random.below(300)}`] }],
      checkResults: [{ checkId: id, status: random.text(), output: random.text(), ranAtUnix: BigInt(random.number()) }],
      queryResults: [{ queryId: id, status: "ok", ports: [{ port: 1, protocol: random.text() }] }],
      taskProgress: [{ taskId: id, outputChunk: random.text() }],
      taskResults: [{ taskId: id, resultJson: random.text(), error: random.text() }],
    }),
  });
}

/** protobuf-es writes no text that is malformed: that is for changed bytes to bring. */
function wellFormed<T>(value: T): T {
  if (typeof value === "string") return value.toWellFormed() as T;
  if (Array.isArray(value)) return value.map(wellFormed) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, wellFormed(inner)])) as T;
}

function headers(random: Random): Record<string, string> {
  const [timeout, encoding] = [
    random.pick(["1H", "99999999H", "-1S", "1", "x".repeat(50)]),
    random.pick(["gzip", "br", "identity", "x"]),
  ];
  return {
    ...(random.chance(0.3) && { "grpc-timeout": timeout }),
    ...(random.chance(0.5) && { "grpc-encoding": encoding }),
  };
}

function call(
  method: RawCall["method"],
  protocol: RawCall["protocol"],
  body: Buffer,
  more: Partial<RawCall> = {},
): Input {
  return { kind: "call", call: { method, protocol, ...more }, body, isIdentified: false };
}

function identified(
  method: RawCall["method"],
  protocol: RawCall["protocol"],
  body: Buffer,
  headers: Record<string, string> = {},
): Input {
  return { kind: "call", call: { method, protocol, headers }, body, isIdentified: true };
}

function register(random: Random, message: Uint8Array): Input {
  const protocol = random.pick(["grpc", "grpc-web", "connect unary"] as const);
  return call("Register", protocol, protocol === "connect unary" ? Buffer.from(message) : envelope(message));
}

function stream(random: Random, message: Uint8Array): Input {
  const zipped = random.chance(0.3);
  const body = zipped ? envelope(gzipSync(message), 1) : envelope(message);
  return identified("Heartbeat", "grpc", body, zipped ? { "grpc-encoding": "gzip" } : {});
}
