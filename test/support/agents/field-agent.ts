import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureVersion } from "node:tls";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { TestService } from "../service.js";

const proto = loadSync("agent/v1/ingest.proto", {
  includeDirs: [fileURLToPath(new URL("../../../proto", import.meta.url))],
  defaults: true,
  longs: String,
});
const { IngestService } = (grpc.loadPackageDefinition(proto) as unknown as { agent: { v1: { IngestService: Client } } })
  .agent.v1;

type Client = grpc.ServiceClientConstructor;

/** An agent's key pair, made without the product's code. */
export interface TestKey {
  privateKey: KeyObject;
  privateKeyPem: string;
  raw: Buffer;
  /** As installed agents send it: PEM of the raw 32 bytes. */
  rawPem: string;
  spkiPem: string;
}

export function createTestKey(): TestKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  return {
    privateKey,
    privateKeyPem: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    raw,
    rawPem: `-----BEGIN PUBLIC KEY-----\n${raw.toString("base64")}\n-----END PUBLIC KEY-----\n`,
    spkiPem: publicKey.export({ format: "pem", type: "spki" }).toString(),
  };
}

/** PKCS#10 (RFC 2986) of an Ed25519 key: all lengths are known. What is signed has version 0, CN=ct-ops-agent, no attributes. */
const CSR_HEAD = Buffer.concat([
  Buffer.from("304a0201003017311530130603550403" + "0c0c", "hex"),
  Buffer.from("ct-ops-agent"),
]);
const SPKI_HEAD = Buffer.from("302a300506032b6570032100", "hex");
const NO_ATTRIBUTES = Buffer.from("a000", "hex");

/** A CSR that carries one key and is signed by it, or by another one. */
export function createTestCsr(key: TestKey, signedBy: TestKey = key): Buffer {
  return assembleCsr(key.raw, (signed) => sign(null, signed, signedBy.privateKey));
}

/** A CSR that carries these 32 bytes for a key, and any signature. */
export function assembleCsr(raw: Buffer, makeSignature: (signed: Buffer) => Buffer): Buffer {
  const signed = Buffer.concat([CSR_HEAD, SPKI_HEAD, raw, NO_ATTRIBUTES]);
  const signature = makeSignature(signed);
  return Buffer.concat([
    Buffer.from("308196", "hex"),
    signed,
    Buffer.from("300506032b6570" + "034100", "hex"),
    signature,
  ]);
}

/** A response of `Register` as grpc-js with proto-loader gives it. */
export interface RegisterReply {
  agentId: string;
  status: string;
  message: string;
  jwtToken: string;
  clientCertPem: string;
  agentCaCertPem: string;
  clientCertNotAfterUnix: string;
}

/** Where a client connects to, and with which version of TLS if it is not to choose. */
export interface TestAddress extends Pick<TestService, "address" | "ca"> {
  tlsVersion?: SecureVersion;
}

/** What a client presents. */
export interface TestCredentials {
  certificatePem: string;
  privateKeyPem: string;
}

/** Those of clients without an identity, by what they consist of: making one takes as long as a handshake. */
const anonymousContexts = new Map<string, SecureContext>();

function secureContextOf({ ca, tlsVersion }: TestAddress, identity: TestCredentials | undefined): SecureContext {
  const name = `${tlsVersion} ${ca}`;
  const known = identity === undefined ? anonymousContexts.get(name) : undefined;
  if (known !== undefined) return known;
  const context = createSecureContext({
    ca,
    ...(identity && { cert: identity.certificatePem, key: identity.privateKeyPem }),
    ...(tlsVersion && { minVersion: tlsVersion, maxVersion: tlsVersion }),
  });
  if (identity === undefined) anonymousContexts.set(name, context);
  return context;
}

/** A client of grpc-js: nothing of it is the product's. */
export function createGrpcClient(address: TestAddress, identity?: TestCredentials): grpc.Client {
  return new IngestService(
    address.address,
    grpc.credentials.createFromSecureContext(secureContextOf(address, identity)),
    // Each client its own connection, as each agent has.
    { "grpc.use_local_subchannel_pool": 1 },
  );
}

const keysOfTokens = new Map<string, string[]>();

/** Each key is a machine of its own: of those with one token the first is web-01, the second web-02, and so on. */
function machineOf(key: TestKey, orgToken: string): { hostname: string; ipAddress: string } {
  const keys = keysOfTokens.get(orgToken) ?? [];
  keysOfTokens.set(orgToken, keys);
  if (!keys.includes(key.rawPem)) keys.push(key.rawPem);
  const number = keys.indexOf(key.rawPem) + 1;
  return {
    hostname: `web-${String(number).padStart(2, "0")}`,
    ipAddress: `10.20.${number >> 8}.${number & 255}`,
  };
}

/** A registration as an installed agent sends it. */
export async function registration(key: TestKey, orgToken: string, fields: object = {}) {
  const { hostname, ipAddress } = machineOf(key, orgToken);
  return {
    orgToken,
    publicKey: key.rawPem,
    csrDer: createTestCsr(key),
    platformInfo: { os: "linux", arch: "amd64", ipAddresses: [ipAddress, "172.17.0.1", "fe80::1"] },
    agentInfo: { version: "v1.2.3", hostname },
    tags: [] as { key: string; value: string }[],
    ...fields,
  };
}

/** Calls `Register` over gRPC. */
export function register(service: TestAddress, request: object, identity?: TestCredentials): Promise<RegisterReply> {
  return callUnary<RegisterReply>("register", service, request, identity);
}

/** Calls `Register` many times at once over one connection: a handshake for each takes longer than the calls. */
export async function registerAll(
  service: TestAddress,
  requests: readonly object[],
): Promise<PromiseSettledResult<RegisterReply>[]> {
  const client = createGrpcClient(service);
  const calls = requests.map((request) => callOver<RegisterReply>(client, "register", request));
  return Promise.allSettled(calls).finally(() => client.close());
}

/** A response of `RenewCertificate` as grpc-js with proto-loader gives it. */
export interface RenewReply {
  clientCertPem: string;
  clientCertNotAfterUnix: string;
  agentCaCertPem: string;
}

/** Calls `RenewCertificate` over gRPC. */
export function renewCertificate(
  service: TestAddress,
  request: { agentId: string; csrDer: Buffer },
  identity?: TestCredentials,
): Promise<RenewReply> {
  return callUnary<RenewReply>("renewCertificate", service, request, identity);
}

function callUnary<Reply>(
  method: string,
  service: TestAddress,
  request: object,
  identity: TestCredentials | undefined,
): Promise<Reply> {
  const client = createGrpcClient(service, identity);
  return callOver<Reply>(client, method, request).finally(() => client.close());
}

function callOver<Reply>(client: grpc.Client, method: string, request: object): Promise<Reply> {
  return new Promise<Reply>((resolve, reject) => {
    (client as unknown as Record<string, (...args: unknown[]) => void>)[method]?.(
      request,
      (error: grpc.ServiceError | null, reply: Reply) => (error ? reject(decodeDetails(error)) : resolve(reply)),
    );
  });
}

/** grpc-js leaves reserved characters of a status message percent-encoded; gRPC in Go, and so every agent, does not. */
function decodeDetails<T extends { details: string }>(status: T): T {
  return Object.assign(status, { details: decodeURIComponent(status.details) });
}

/** What an agent has after it was enrolled. */
export interface TestIdentity extends TestCredentials {
  agentId: string;
  key: TestKey;
  jwt: string;
}

/** Enrols an agent that is approved at once. */
export async function enrol(service: TestService, token: string, fields: object = {}): Promise<TestIdentity> {
  const key = createTestKey();
  const reply = await register(service, await registration(key, token, fields));
  return {
    agentId: reply.agentId,
    key,
    jwt: reply.jwtToken,
    certificatePem: reply.clientCertPem,
    privateKeyPem: key.privateKeyPem,
  };
}

/** A heartbeat stream: the test sends, and takes answers in their order. */
export interface TestStream {
  send(message: object): void;
  /** The next answer; rejects with the error the stream ended with. */
  next(): Promise<Record<string, unknown> & { ok: boolean }>;
  /** How the stream ended. */
  ended: Promise<grpc.StatusObject>;
  end(): void;
  /** Takes the call back, as a released agent does when it stops. */
  destroy(): void;
}

/** Opens `Heartbeat` with an identity; nothing is sent yet. */
export function openStream(service: TestAddress, identity?: TestCredentials): TestStream {
  const client = createGrpcClient(service, identity);
  const call = (
    client as unknown as { heartbeat(): grpc.ClientDuplexStream<object, Record<string, unknown> & { ok: boolean }> }
  ).heartbeat();
  const answers: (Record<string, unknown> & { ok: boolean })[] = [];
  const takers: { resolve: (answer: Record<string, unknown> & { ok: boolean }) => void; reject: (e: Error) => void }[] =
    [];
  let failure: Error | undefined;
  call.on("data", (answer) => {
    const taker = takers.shift();
    if (taker) taker.resolve(answer);
    else answers.push(answer);
  });
  const fail = (error: Error) => {
    failure ??= error;
    for (const taker of takers.splice(0)) taker.reject(failure);
  };
  // What it ended with comes with its status.
  call.on("error", () => {});
  const ended = new Promise<grpc.StatusObject>((resolve) => {
    call.on("status", (status) => {
      decodeDetails(status);
      fail(Object.assign(new Error(`${status.code} ${status.details}`), status));
      resolve(status);
      client.close();
    });
  });
  return {
    send: (message) => void call.write(message),
    next: () => {
      const answer = answers.shift();
      if (answer) return Promise.resolve(answer);
      if (failure) return Promise.reject(failure);
      return new Promise((resolve, reject) => takers.push({ resolve, reject }));
    },
    ended,
    end: () => call.end(),
    destroy: () => {
      call.cancel();
      client.close();
    },
  };
}

/** A heartbeat as an installed agent sends it. */
export function heartbeat(agentIdOrJwt: string, fields: object = {}): object {
  return {
    agentId: agentIdOrJwt,
    cpuPercent: 12.5,
    memoryPercent: 40,
    diskPercent: 55.5,
    uptimeSeconds: 3_600,
    timestampUnix: Math.floor(Date.now() / 1000),
    agentVersion: "v1.2.3",
    osVersion: "Debian 12",
    os: "linux",
    arch: "amd64",
    disks: [
      {
        mountPoint: "/",
        device: "/dev/vda1",
        fsType: "ext4",
        totalBytes: 1000,
        usedBytes: 400,
        freeBytes: 600,
        percentUsed: 40,
      },
    ],
    networkInterfaces: [
      { name: "eth0", ipAddresses: ["192.0.2.10", "2001:db8::10"], macAddress: "02:00:00:00:00:01", isUp: true },
      { name: "eth1", ipAddresses: [], macAddress: "02:00:00:00:00:02", isUp: false },
    ],
    ...fields,
  };
}

/** Opens a stream and has one heartbeat acknowledged. */
export async function openLiveStream(service: TestAddress, identity: TestIdentity): Promise<TestStream> {
  const stream = openStream(service, identity);
  stream.send(heartbeat(identity.jwt));
  await stream.next();
  return stream;
}
