import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { copyFile, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { connect as connectTls } from "node:tls";
import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { writeDevTls } from "../../dist/cli/dev/dev-tls.js";
import { issueEnrolmentToken } from "../../dist/enrolment/tokens/token-issue.js";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import { openDatabase } from "../../dist/store/database.js";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import { enrol, heartbeat, openLiveStream, type TestIdentity } from "../support/agents/field-agent.js";
import { isRunning, startWorkers } from "../support/commands/workers.js";
import { createTestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { makeDirectory } from "../support/service.js";

const database = await createTestDatabase(t);
const store = openDatabase({ url: database.url, maxConnections: 1 });
t.teardown(() => store.close());

const holderOf = async ({ agentId }: TestIdentity) => {
  const query = "select instance_id from ingest.agent_sessions where agent_id = $1 and closed_at is null";
  return (await database.query(query, [agentId]))[0]?.instance_id;
};

t.test("two workers serve as one", async (t) => {
  const { primary, lines, directory, address, pids, instances, ask, keySet, metrics } = await startWorkers(t, database);
  t.equal(pids().length, 2);
  await insertOrganisation(store.db, { name: "Test", slug: "test" });
  const publishing = { database: store, outbox: createClosedOutbox() };
  const { token } = await issueEnrolmentToken(publishing, { label: "test", autoApprove: true, tags: [] });
  const agents = [await enrol(address, token), await enrol(address, token)] as const;
  const connect = async (agent: TestIdentity) => {
    const stream = await openLiveStream(address, agent);
    t.teardown(() => stream.destroy());
    return stream;
  };
  let streams = [await connect(agents[0]), await connect(agents[1])] as const;
  let holders = [await holderOf(agents[0]), await holderOf(agents[1])] as const;
  t.not(holders[0], holders[1], "connections come to the workers in turn");
  t.match(await metrics(), /^ct_ops_ingest_sessions 2$/m, "the metrics are those of both");

  await t.test("the primary speaks for both", async (t) => {
    t.equal(await ask("/healthz"), 200);
    t.equal(await ask("/readyz"), 200);
    t.match(await keySet(), { keys: [{ kty: "RSA" }] });
    t.ok(lines().some(({ msg, instanceId }) => msg === "heartbeat stream opened" && instanceId === holders[0]));
  });

  await t.test("each serves a certificate that was replaced", async (t) => {
    const port = Number(address.address.split(":")[1]);
    const served = async () => {
      const socket = connectTls({ port, host: "localhost", ALPNProtocols: ["h2"], rejectUnauthorized: false });
      await once(socket, "secureConnect");
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    };
    const before = [await served(), await served()];
    const { certFile, keyFile } = await writeDevTls(join(await makeDirectory(t), "tls"));
    for (const file of [keyFile, certFile]) await copyFile(file, join(directory, "tls", basename(file)));
    const wanted = new X509Certificate(await readFile(certFile)).fingerprint256;
    t.notOk(before.includes(wanted));
    // Connections come to the workers in turn.
    await eventually(
      async () => [await served(), await served(), await served(), await served()],
      (all) => all.every((one) => one === wanted),
    );
    address.ca = await readFile(certFile, "utf8");
  });

  await t.test("one that dies is replaced, and its agents come back to the others", async (t) => {
    const dead = instances().get(holders[0]) ?? 0;
    process.kill(dead, "SIGKILL");
    t.match(await streams[0].ended, { code: Code.UNAVAILABLE });
    streams = [await connect(agents[0]), streams[1]];
    t.match(await metrics(), /^ct_ops_ingest_sessions_opened_total 3$/m, "what it counted stays");
    t.equal(await holderOf(agents[0]), holders[1], "the other one has it at once");
    await primary.saw(new RegExp(`"workerPid":${dead},.*a worker ended that was not told to`));
    await eventually(
      async () => instances().size,
      (size) => size === 3,
    );
    streams[1].send(heartbeat(agents[1].agentId));
    t.match(await streams[1].next(), { ok: true }, "the others notice nothing");
    await database.query("delete from ingest.instances where id = $1", [holders[0]]);
  });

  await t.test("SIGHUP replaces each, and there are always two", async (t) => {
    const before = [...instances().keys()];
    let isOver = false;
    const fewest = (async () => {
      let serving = 2;
      while (!isOver) {
        const [row] = await database.query("select count(*)::int from ingest.instances where not draining");
        serving = (await ask("/readyz")) === 200 ? Math.min(serving, row?.count as number) : 0;
      }
      return serving;
    })();
    primary.kill("SIGHUP");
    for (const stream of streams) t.match(await stream.ended, { code: Code.UNAVAILABLE, details: /connect again/ });
    await primary.saw(/the workers were restarted/);
    isOver = true;
    t.equal(await fewest, 2);
    streams = [await connect(agents[0]), await connect(agents[1])];
    holders = [await holderOf(agents[0]), await holderOf(agents[1])];
    for (const holder of holders) t.notOk(before.includes(holder), "a new one");
    t.equal(pids().filter(isRunning).length, 2);
  });

  await t.test("what a terminal sends to the whole group is for the primary to hear", async (t) => {
    for (const pid of pids().filter(isRunning)) {
      process.kill(pid, "SIGINT");
      process.kill(pid, "SIGHUP");
    }
    for (const [index, stream] of streams.entries()) {
      stream.send(heartbeat(agents[index]?.agentId ?? ""));
      t.match(await stream.next(), { ok: true });
    }
  });

  await t.test("SIGTERM has all send their agents away and end", async (t) => {
    primary.kill("SIGTERM");
    for (const stream of streams) t.match(await stream.ended, { code: Code.UNAVAILABLE, details: /connect again/ });
    t.same(await primary.exited, { code: 0, signal: null });
    t.same(pids().filter(isRunning), []);
    t.same(await database.query("select from ingest.instances"), [], "in order");
  });
});
