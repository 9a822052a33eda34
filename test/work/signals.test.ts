import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { WebSiteCertificate } from "../../dist/identity/server-certificate/web-certificate.js";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import { Dispatcher } from "../../dist/work/dispatch/dispatcher.js";
import { Releases } from "../../dist/work/signals/releases.js";
import { Signals } from "../../dist/work/signals/signals.js";
import { createTestDatabase } from "../support/database/database.js";
import { insertHosts, type TestHost } from "../support/database/work-rows.js";
import { eventually } from "../support/eventually.js";
import { makeDirectory } from "../support/service.js";
import { openStore, quietEvents, RecordingAgent } from "../support/work-desk.js";

const database = await createTestDatabase(t);

interface Desk {
  newest: string | undefined;
  webCertificate: WebSiteCertificate | undefined;
  signals: Signals;
  connect(host: TestHost, agentVersion: string, pinnedFingerprint?: string): RecordingAgent;
}

function open(t: Test, concurrency = 50): Desk {
  const store = openStore(t, database);
  const dispatcher = new Dispatcher({
    outbox: createClosedOutbox(),
    database: store,
    events: quietEvents(),
    maxAgeMs: 1,
  });
  t.teardown(() => dispatcher.stop());
  const desk = {
    newest: "v1.1.0",
    webCertificate: undefined,
    connect: (host, agentVersion, pinnedFingerprint = "") => {
      const agent = new RecordingAgent();
      desk.signals.report(dispatcher.join(host, agent.send), { agentVersion, pinnedFingerprint });
      return agent;
    },
  } as Desk;
  desk.signals = new Signals({
    database: store,
    events: quietEvents(),
    newestVersion: () => desk.newest,
    webCertificate: () => desk.webCertificate,
    downloadBaseUrl: "https://ct.example/",
    concurrency,
    intervalMs: 50,
  });
  t.teardown(() => desk.signals.stop());
  return desk;
}

const age = (interval: string) =>
  database.query("update ingest.update_offers set offered_at = offered_at - $1::interval", [interval]);

t.test("an agent is told of a newer version once, and again after an hour", async (t) => {
  const [host, witness] = (await insertHosts(database, 2)) as [TestHost, TestHost];
  const desk = open(t);
  const agent = desk.connect(host, "v1.0.0");
  const [update] = await agent.receives("update");
  t.same(update, {
    kind: "update",
    latestVersion: "v1.1.0",
    downloadUrl: "https://ct.example/api/agent/download",
  });
  const again = desk.connect(host, "v1.0.0");
  await desk.connect(witness, "v1.0.0").receives("update");
  t.equal(again.of("update").length, 0, "it came back with the version it had");
  await age("61 minutes");
  await again.receives("update");
});

t.test("an agent that did not take it is told again at once", async (t) => {
  const [host] = (await insertHosts(database, 1)) as [TestHost];
  const desk = open(t);
  const agent = desk.connect(host, "v1.0.0");
  agent.reads = false;
  await eventually(
    async () => agent.refused,
    (count) => count > 0,
  );
  agent.reads = true;
  await agent.receives("update");
});

t.test("who is not told", async (t) => {
  const hosts = await insertHosts(database, 5);
  const [witness, ...others] = hosts as [TestHost, ...TestHost[]];
  const desk = open(t);
  const agents = others.map((host, n) => desk.connect(host, ["", "dev", "v1.1.0", "1.1.0"][n] ?? ""));
  await desk.connect(witness, "v1.2.0-rc1").receives("update");
  for (const agent of agents) t.same(agent.pushes, []);
});

t.test("a fleet is told a few at a time, over two instances", async (t) => {
  await age("1 day");
  const hosts = await insertHosts(database, 30);
  const desks = [open(t, 4), open(t, 4)];
  const agents = hosts.map((host, n) => (desks[n % 2] as Desk).connect(host, "v1.0.0"));
  const told = async () => agents.filter((agent) => agent.of("update").length > 0).length;
  await eventually(told, (count) => count >= 4);
  t.equal(await told(), 4);
  // Two come back with the new version, and two never do.
  const updated = hosts.filter((_, n) => (agents[n]?.of("update").length ?? 0) > 0).slice(0, 2);
  await database.query("update agents set version = 'v1.1.0' where id = any($1)", [
    updated.map(({ agentId }) => agentId),
  ]);
  await eventually(told, (count) => count >= 6);
  t.equal(await told(), 6);
  await age("11 minutes");
  await eventually(told, (count) => count >= 10);
});

t.test("the web site's certificate is sent once, and when it changes", async (t) => {
  const [host, pinned] = (await insertHosts(database, 2)) as [TestHost, TestHost];
  const desk = open(t);
  desk.newest = undefined;
  desk.webCertificate = { pem: "one", fingerprintSha256: "aa11" };
  const agent = desk.connect(host, "v1.0.0", "bb22");
  t.same(await agent.receives("web certificate"), [{ kind: "web certificate", pem: "one" }]);
  const upToDate = desk.connect(pinned, "v1.0.0", "AA11");
  desk.webCertificate = { pem: "two", fingerprintSha256: "cc33" };
  await upToDate.receives("web certificate");
  await agent.receives("web certificate", 2);
  t.same(
    upToDate.of("web certificate").map(({ pem }) => pem),
    ["two"],
  );
  t.equal(agent.of("update").length, 0, "without a version nobody is told of one");
});

t.test("a manifest overrides the variable, for as long as it can be read", async (t) => {
  const path = join(await makeDirectory(t), "manifest.json");
  const problems: unknown[] = [];
  const releases = await Releases.open({ version: "v1.0.0", manifestPath: path }, (error) => problems.push(error), 20);
  t.teardown(() => releases.stop());
  t.equal(releases.newest, "v1.0.0");
  const becomes = async (text: string, version: string) => {
    await writeFile(path, text);
    await eventually(
      async () => releases.newest,
      (newest) => newest === version,
    );
  };
  await becomes('{"agent": "1.2.3"}', "v1.2.3");
  await becomes('{"agent": "v1.2.4", "web": "9"}', "v1.2.4");
  for (const text of ["", "{", "[]", '{"agent": 5}', '{"agent": "<script>"}']) {
    problems.length = 0;
    await writeFile(path, text);
    await eventually(
      async () => problems.length,
      (count) => count > 0,
    );
    t.equal(releases.newest, "v1.2.4", text);
  }
  const second = await Releases.open({ manifestPath: path }, () => {}, 20);
  t.teardown(() => second.stop());
  t.equal(second.newest, undefined);
});
