import t from "tap";
import { isServiceLink } from "../../dist/lib/formats/kubernetes.js";
import { parseServerOptions } from "../../dist/lib/formats/postgres-options.js";

t.test("options of a server are read as settings", async (t) => {
  for (const [text, settings] of [
    ["", {}],
    ["-c statement_timeout=5s", { statement_timeout: "5s" }],
    ["-cwork_mem=1MB  --Search-Path=a,b", { work_mem: "1MB", search_path: "a,b" }],
    ["-c a=x\\ y\\\\z -c b=", { a: "x y\\z", b: "" }],
    ["-c my.own=1=2 -c a=1 -c a=2", { "my.own": "1=2", a: "2" }],
  ] as const) {
    t.same(parseServerOptions(text), { settings }, text);
  }
  for (const text of ["-c", "-c a", "-d 5", "--a", "-c =1", "a=1", "-c a=1 -e"]) {
    t.same(parseServerOptions(text), { text }, `${text}: left to the server`);
  }
});

t.test("what Kubernetes tells of a Service is known from what somebody set", async (t) => {
  for (const [name, value] of [
    ["INGEST_SERVICE_HOST", "10.0.0.1"],
    ["INGEST_SERVICE_PORT", "9443"],
    ["INGEST_SERVICE_PORT_GRPC", "9443"],
    ["INGEST_GRPC_PORT", "tcp://10.0.0.1:9443"],
    ["INGEST_PORT_9443_TCP", "tcp://10.0.0.1:9443"],
    ["INGEST_PORT_53_UDP_PROTO", "udp"],
    ["INGEST_PORT_9443_TCP_ADDR", "10.0.0.1"],
  ] as const) {
    t.ok(isServiceLink(name, value), name);
  }
  for (const [name, value] of [
    ["INGEST_GRPC_PORT", "9443"],
    ["INGEST_GRPC_PORT", "http://10.0.0.1"],
    ["DATABASE_URL", "tcp://10.0.0.1:9443"],
    ["INGEST_SERVICE", "10.0.0.1"],
  ] as const) {
    t.notOk(isServiceLink(name, value), name);
  }
});
