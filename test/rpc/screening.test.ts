import { create, toBinary } from "@bufbuild/protobuf";
import { createConnectRouter, type ServiceImpl } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import t from "tap";
import { HeartbeatRequestSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { IngestService } from "#gen/agent/v1/ingest_pb.js";
import { RegisterRequestSchema } from "#gen/agent/v1/registration_pb.js";
import { ByteBudget } from "../../dist/lib/bounds/byte-budget.js";
import { screenRequests } from "../../dist/rpc/screening/screen-requests.js";
import { envelope } from "../support/wire/raw-call.js";

const LIMITS = { maxBytes: 10_000, maxElements: 100, acceptsGzip: false };
const registration = envelope(
  toBinary(RegisterRequestSchema, create(RegisterRequestSchema, { orgToken: "a".repeat(8_000) })),
);

function handlerOf(name: string, implementation: Partial<ServiceImpl<typeof IngestService>>): UniversalHandler {
  const { handlers } = createConnectRouter().service(IngestService, implementation);
  return handlers.find(({ method }) => method.name === name) as UniversalHandler;
}

/** Makes a call whose sender sends the rest when it is told to. */
function call(handle: ReturnType<typeof screenRequests>, first: Uint8Array) {
  const closed = new AbortController();
  let send: (rest: Uint8Array[]) => void = () => {};
  const rest = new Promise<Uint8Array[]>((resolve) => {
    send = resolve;
  });
  async function* body() {
    yield first;
    yield* await rest;
  }
  const answered = handle({
    httpVersion: "2",
    method: "POST",
    url: "https://localhost/",
    header: new Headers({ "content-type": "application/grpc" }),
    body: body(),
    signal: closed.signal,
  }).then(async ({ body, trailer }) => {
    for await (const _ of body ?? []);
    closed.abort();
    return {
      code: Number(trailer?.get("grpc-status")),
      message: decodeURIComponent(trailer?.get("grpc-message") ?? ""),
    };
  });
  return { answered, send, close: () => closed.abort() };
}

t.test("whoever sends half a message makes room for those who send all of it", async (t) => {
  const budget = new ByteBudget(25_000);
  const handle = screenRequests(handlerOf("Register", { register: () => ({}) }), { limits: LIMITS, budget });
  const half = registration.subarray(0, 6_000);
  const slow = [call(handle, half), call(handle, half), call(handle, half)];
  await new Promise(setImmediate);
  t.equal(budget.held, 3 * 6_000 - 3 * 5);
  const quick = call(handle, registration);
  quick.send([]);
  t.match(await quick.answered, { code: 0 });
  t.match(await slow[0]?.answered, { code: 14, message: /too many large requests at once/ });
  slow[1]?.send([registration.subarray(6_000)]);
  t.match(await slow[1]?.answered, { code: 0 }, "the others go on");
  slow[2]?.close();
  t.equal(budget.held, 0, "and nothing is held for whoever went away");
});

t.test("a call is held until it is answered, and no further one is read when there is no room", async (t) => {
  const budget = new ByteBudget(10_000);
  let answer = () => {};
  const register = async () => {
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    return {};
  };
  const handle = screenRequests(handlerOf("Register", { register }), { limits: LIMITS, budget });
  const first = call(handle, registration);
  first.send([]);
  await new Promise(setImmediate);
  const second = call(handle, registration);
  second.send([]);
  t.match(await second.answered, { code: 14 });
  answer();
  t.match(await first.answered, { code: 0 });
  t.equal(budget.held, 0);
});

t.test("a stream holds the message that it handles, and nothing while it waits for the next one", async (t) => {
  const budget = new ByteBudget(10_000);
  const held: number[] = [];
  async function* heartbeat(requests: AsyncIterable<unknown>) {
    for await (const _ of requests) {
      held.push(budget.held);
      yield {};
    }
  }
  const handle = screenRequests(handlerOf("Heartbeat", { heartbeat }), { limits: LIMITS, budget });
  const message = envelope(toBinary(HeartbeatRequestSchema, create(HeartbeatRequestSchema, { agentId: "a" })));
  const stream = call(handle, Buffer.concat([message, message]));
  while (held.length < 2) await new Promise(setImmediate);
  await new Promise(setImmediate);
  t.equal(budget.held, 0);
  stream.send([message]);
  t.match(await stream.answered, { code: 0 });
  // Three bytes, and one field.
  t.same(held, [259, 259, 259]);
  t.equal(budget.held, 0);
});
