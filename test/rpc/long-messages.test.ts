import { create, toBinary } from "@bufbuild/protobuf";
import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { SoftwareInventoryChunkSchema } from "#gen/agent/v1/ingest_pb.js";
import { IngestError } from "../../dist/errors.js";
import { toConnectError } from "../../dist/rpc/refusals/error-status.js";
import { enrol } from "../support/agents/field-agent.js";
import { startTestService } from "../support/service.js";
import { callRaw, connectRaw, type RawCall } from "../support/wire/raw-call.js";

/** What is left of 8 KiB for all other headers is plenty. */
const MAX_ENCODED = 4_096;

t.test("a message is cut to what clients take as a header", async (t) => {
  for (const text of ["a", " ", "é", "漢", "\u{1f4a5}", "\ud800", "%"]) {
    const told = toConnectError(new IngestError("task_not_found", `no task ${text.repeat(100_000)}`));
    t.ok(encodeURIComponent(told?.rawMessage ?? "").length <= MAX_ENCODED, text);
    t.match(told?.rawMessage, /^no task/);
  }
  t.equal(toConnectError(new IngestError("draining", "short"))?.rawMessage, "short");
});

t.test("whatever a caller sends, the answer arrives", async (t) => {
  const service = await startTestService(t);
  const agent = await enrol(service, await service.createToken());
  const session = await connectRaw(service, agent);
  t.teardown(() => session.destroy());
  const authorization = `Bearer ${agent.jwt}`;
  const chunk = create(SoftwareInventoryChunkSchema, {
    scanId: "漢".repeat(100_000),
    agentId: agent.agentId,
    isLast: true,
  });
  const cases: [name: string, call: RawCall, message: Uint8Array, code: number][] = [
    [
      "an id",
      { method: "SubmitSoftwareInventory", protocol: "grpc", headers: { authorization } },
      toBinary(SoftwareInventoryChunkSchema, chunk),
      Code.NOT_FOUND,
    ],
    [
      "an id that PostgreSQL does not take",
      { method: "SubmitSoftwareInventory", protocol: "grpc", headers: { authorization } },
      toBinary(SoftwareInventoryChunkSchema, create(SoftwareInventoryChunkSchema, { ...chunk, scanId: "a\0b" })),
      Code.INVALID_ARGUMENT,
    ],
    [
      "a compression",
      { method: "Register", protocol: "grpc", headers: { "grpc-encoding": "%".repeat(8_000) } },
      Buffer.alloc(0),
      Code.UNIMPLEMENTED,
    ],
  ];
  for (const [name, call, message, code] of cases) {
    const answer = await callRaw(session, call, message);
    t.equal(answer.code, code, `${name}: ${answer.message.slice(0, 100)}`);
    t.ok(encodeURIComponent(answer.message).length <= MAX_ENCODED, name);
  }
});
