import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import t from "tap";
import { IngestService } from "#gen/agent/v1/ingest_pb.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "#gen/google/rpc/error_details_pb.js";
import { databaseUnavailable, IngestError } from "../../dist/errors.js";
import { PLAIN_STATUS, reasonOf, STATUS, toConnectError } from "../../dist/rpc/refusals/error-status.js";
import { startTestService } from "../support/service.js";
import { connectRaw } from "../support/wire/raw-call.js";

const DOCUMENT = fileURLToPath(new URL("../../docs/errors.md", import.meta.url));

t.test("an error over each protocol", async (t) => {
  const service = await startTestService(t);
  const options = { baseUrl: `https://${service.address}`, nodeOptions: { ca: service.ca } };
  const transports = {
    gRPC: createGrpcTransport(options),
    "gRPC-Web": createGrpcWebTransport({ ...options, httpVersion: "2" }),
    Connect: createConnectTransport({ ...options, httpVersion: "2" }),
  };
  for (const [name, transport] of Object.entries(transports)) {
    const error = await createClient(IngestService, transport)
      .register({ orgToken: "x" })
      .catch((thrown) => ConnectError.from(thrown));
    if (!(error instanceof ConnectError)) throw new Error("answered");
    t.equal(error.code, Code.InvalidArgument, name);
    t.match(error.findDetails(ErrorInfoSchema), [{ reason: "INVALID_FIELD", domain: "ct-ops-ingest" }], name);
    t.match(error.findDetails(BadRequestSchema), [
      { fieldViolations: [{ field: "public_key", description: /^missing; expected an Ed25519 public key/ }] },
    ]);
    t.same(error.findDetails(RetryInfoSchema), [], "waiting does not help");
  }
});

t.test("what the domain has no code for has a reason as well", async (t) => {
  const service = await startTestService(t);
  const session = await connectRaw(service);
  t.teardown(() => session.destroy());
  const cases: [string, string, Buffer, string][] = [
    ["Register", "proto", Buffer.alloc(65_537), "RESOURCE_EXHAUSTED"],
    ["Register", "proto", Buffer.from([0x0a, 5, 65]), "INVALID_ARGUMENT"],
    ["Register", "json", Buffer.from('{"orgToken":5}'), "INVALID_ARGUMENT"],
    ["Register", "json", Buffer.alloc(0), "INVALID_ARGUMENT"],
    ["Nonsense", "proto", Buffer.alloc(0), "UNIMPLEMENTED"],
  ];
  for (const [method, format, message, reason] of cases) {
    const path = `/agent.v1.IngestService/${method}`;
    const stream = session.request({ ":method": "POST", ":path": path, "content-type": `application/${format}` });
    stream.end(message);
    const { details } = JSON.parse(await text(stream));
    t.match(details, [{ type: "google.rpc.ErrorInfo", debug: { reason, domain: "ct-ops-ingest" } }], reason);
  }
  const metrics = await (await fetch(`http://localhost:${service.httpPort}/metrics`)).text();
  t.match(metrics, /^ct_ops_ingest_refusals_total\{reason="invalid_argument"\} 3$/m, "and is counted");
});

t.test("how long to wait", async (t) => {
  const retryDelayOf = (error: IngestError) =>
    toConnectError(error)?.details.flatMap((detail) => ("desc" in detail ? [detail.value] : []))[1];
  t.match(retryDelayOf(new IngestError("too_many_calls", "slowly", { retryAfterMs: 2_500 })), {
    retryDelay: { seconds: 2n, nanos: 500_000_000 },
  });
  t.match(retryDelayOf(databaseUnavailable()), { retryDelay: { seconds: 1n, nanos: 0 } });
});

t.test("each reason is documented, with its status", async (t) => {
  const rows = [...(await readFile(DOCUMENT, "utf8")).matchAll(/^\| `(\w+)` \| (\w+) \|/gm)];
  const documented = Object.fromEntries(rows.map(([, reason, status]) => [reason, status]));
  const told = Object.entries(STATUS).map(([reason, code]) => [
    reason,
    Code[code]?.replace(/(?<!^)[A-Z]/g, "_$&").toUpperCase(),
  ]);
  const plain = PLAIN_STATUS.map((code) => [reasonOf(code), reasonOf(code).toUpperCase()]);
  t.same(documented, Object.fromEntries([...told, ...plain]));
});
