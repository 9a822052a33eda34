import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { get } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import t from "tap";
import { parse } from "yaml";
import { createAgentKey, enrol, openHeartbeatStream } from "../../dist/agent/index.js";
import { createLifetime } from "../../dist/app/create-lifetime.js";
import type { InstanceView } from "../../dist/app/instance.js";
import { openPlainListener } from "../../dist/app/opening/open-plain-listener.js";
import { parseConfig } from "../../dist/config/config.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { needProgram } from "../support/programs.js";
import { serviceEnvironment, startTestService } from "../support/service.js";
import { callRaw, connectRaw } from "../support/wire/raw-call.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

t.test("what the service measures", async (t) => {
  const service = await startTestService(t);
  const scrape = async () => {
    const response = await fetch(`http://localhost:${service.httpPort}/metrics`);
    t.match(response.headers.get("content-type"), /^text\/plain; version=0\.0\.4/);
    return response.text();
  };
  const target = { address: service.address, ca: service.ca };
  const identity = await enrol({
    ...target,
    key: createAgentKey(),
    token: await service.createToken(),
    description: { hostname: "measured-01", version: "v1", os: "linux", arch: "arm64" },
  });
  const stream = openHeartbeatStream(target, identity);
  t.match(await stream.send({ cpuPercent: 1 }), { ok: true });
  t.match(await stream.send({ cpuPercent: 2 }), { ok: true });
  const stranger = await connectRaw(service);
  await callRaw(stranger, { method: "Register", protocol: "grpc" }, Buffer.alloc(0));
  await callRaw(stranger, { method: "RenewCertificate", protocol: "grpc" }, Buffer.alloc(0));
  stranger.close();

  const text = await scrape();
  const value = (series: string) => {
    const line = text.split("\n").find((one) => one.startsWith(`ct_ops_ingest_${series} `));
    return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(" ")));
  };

  t.test("is counted", async (t) => {
    const expected: [string, number][] = [
      ["sessions", 1],
      ["sessions_opened_total", 1],
      ["database_up", 1],
      ["waiting_bytes", 0],
      ['registrations_total{result="enrolled active"}', 1],
      ["heartbeats_stored_total", 2],
      ["heartbeats_failed_total", 0],
      ["heartbeat_batch_size_sum", 2],
      ["heartbeat_commit_duration_seconds_count", 2],
      ['refusals_total{reason="invalid_field"}', 1],
      ['refusals_total{reason="client_certificate_invalid"}', 1],
      ['client_certificates_expiring{days="7"}', 0],
      ['client_certificates_expiring{days="30"}', 0],
    ];
    for (const [series, count] of expected) t.equal(value(series), count, series);
    t.ok((value("acknowledgement_duration_seconds_count") ?? 0) >= 1, "acknowledgements");
    t.ok((value("connections") ?? 0) >= 1, "connections");
    t.ok((value('tls_handshakes_total{result="completed"}') ?? 0) >= 3, "handshakes");
    t.ok((value('certificate_expiry_timestamp_seconds{certificate="agent CA"}') ?? 0) > Date.now() / 1000);
    t.match(text, /^# TYPE ct_ops_ingest_queue_confirmed_total counter\nct_ops_ingest_queue_confirmed_total 0$/m);
    t.match(text, /^nodejs_eventloop_lag_p99_seconds \S+$/m);
  });

  t.test("is what is documented, and what dashboard and alerts ask for", async (t) => {
    const names = [...text.matchAll(/^# TYPE (ct_ops_ingest_\w+) /gm)].map(([, name]) => name as string);
    const documented = await readFile(join(ROOT, "docs/operations.md"), "utf8");
    t.same([...documented.matchAll(/^\| `(ct_ops_ingest_\w+)`/gm)].map(([, name]) => name).sort(), names.sort());

    const dashboard = JSON.parse(await readFile(join(ROOT, "deploy/grafana.json"), "utf8"));
    const { groups } = parse(await readFile(join(ROOT, "deploy/alerts.yaml"), "utf8"));
    const asked: string[] = [
      ...dashboard.panels.flatMap((panel: { targets?: { expr: string }[] }) => panel.targets ?? []),
      ...groups.flatMap(({ rules }: { rules: { expr: string }[] }) => rules),
    ].map(({ expr }) => expr);
    t.ok(asked.length > 30, "they ask");
    const series = new Set(text.split("\n").map((line) => line.split(/[{ ]/)[0] as string));
    const unlabelled = new Set([...names, ...series]);
    for (const expr of asked) {
      for (const [name] of expr.matchAll(/\b(ct_ops_ingest|nodejs|process)_\w+/g)) t.ok(unlabelled.has(name), name);
    }
    const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, label]) => label as string));
    for (const label of ["cause", "operation", "port"]) labels.add(label);
    for (const [, list = ""] of asked.join("\n").matchAll(/\bby \(([^)]*)\)/g)) {
      for (const label of list.split(", ")) t.ok(labels.has(label) || label === "instance", label);
    }
  });
  await stream.end();
});

t.test("whoever asks at once is told the same", async (t) => {
  const parsed = parseConfig({ ...serviceEnvironment("/nowhere", "postgres://localhost/none") });
  if ("problems" in parsed) throw new Error(parsed.problems.join());
  const { logger } = createTestLog();
  const lifetime = createLifetime(logger, 1_000);
  t.teardown(() => lifetime.stop());
  let measured = 0;
  let goOn = () => {};
  const mayGoOn = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const view: InstanceView = {
    findHealthProblem: () => undefined,
    findReadinessProblem: async () => undefined,
    jwks: () => undefined,
    metrics: () => {
      measured += 1;
      return mayGoOn.then(() => []);
    },
  };
  const port = await openPlainListener({ config: parsed.config, lifetime, logger, view });
  let asked = 0;
  const ask = () => {
    const call = get({ port, path: "/metrics" }).on("socket", () => asked++);
    return once(call, "response").then(([response]) => response.resume().statusCode);
  };
  const answers = Array.from({ length: 20 }, ask);
  // Most of those that were sent meanwhile are read before this one is answered.
  await eventually(
    async () => (await fetch(`http://localhost:${port}/healthz`)).status === 200 && asked,
    (count) => count === 20,
  );
  t.equal(measured, 1);
  goOn();
  t.same(await Promise.all(answers), Array(20).fill(200));
});

const promtool = await needProgram("promtool", "prometheus");
t.test("promtool takes the alerts", { skip: promtool.skip }, async (t) => {
  const { stdout } = await run(promtool.path, ["check", "rules", join(ROOT, "deploy/alerts.yaml")]);
  t.match(stdout, /SUCCESS: \d+ rules found/);
});
