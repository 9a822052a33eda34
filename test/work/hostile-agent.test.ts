import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { enrol, heartbeat, openLiveStream, type TestIdentity, type TestStream } from "../support/agents/field-agent.js";
import { uploadInventory } from "../support/agents/inventory-upload.js";
import { insertCheck, insertQuery, insertRun, readTasks, type TestHost } from "../support/database/work-rows.js";
import { startTestService } from "../support/service.js";

/** Near what one message may hold. */
const MANY = 4_000;
/** What another agent may wait for its acknowledgement meanwhile, on a machine that others use too. */
const PATIENCE_MS = 3_000;

const service = await startTestService(t);
const { database } = service;
const token = await service.createToken();
const [attacker, victim] = [await enrol(service, token), await enrol(service, token)];
const [own, theirs] = [await hostOf(attacker), await hostOf(victim)];

async function hostOf({ agentId }: TestIdentity): Promise<TestHost> {
  const [row] = await database.query<{ id: string; organisation_id: string }>(
    "select id, organisation_id from hosts where agent_id = $1",
    [agentId],
  );
  return { agentId, hostId: row?.id ?? "", organisationId: row?.organisation_id ?? "" };
}

/** The longest that a heartbeat of the other agent waits while something goes on. */
async function longestWait(stream: TestStream, work: Promise<unknown>): Promise<number> {
  let isOver = false;
  const over = work.finally(() => {
    isOver = true;
  });
  let longestMs = 0;
  do {
    const sentAt = performance.now();
    stream.send(heartbeat(victim.agentId));
    for (let answer = await stream.next(); (answer.checks as unknown[]).length > 0; ) answer = await stream.next();
    longestMs = Math.max(longestMs, performance.now() - sentAt);
  } while (!isOver);
  await over;
  return longestMs;
}

t.test("an agent that sends all the results it can holds nobody up, and reaches nothing of another", async (t) => {
  const [checkId, queryId] = [await insertCheck(database, theirs), await insertQuery(database, theirs)];
  const ownCheck = await insertCheck(database, own);
  const { taskIds } = await insertRun(database, [theirs], { status: "running" });
  const [taskId = ""] = taskIds;
  const hostile = await openLiveStream(service, attacker);
  const honest = await openLiveStream(service, victim);
  const ranAtUnix = Math.floor(Date.now() / 1000);
  const many = <Row>(row: (n: number) => Row) => Array.from({ length: MANY }, (_, n) => row(n));
  const messages = [
    { checkResults: many((n) => ({ checkId: n % 2 ? checkId : ownCheck, status: "pass", output: "x", ranAtUnix })) },
    { checkResults: many((n) => ({ checkId: `nobody's ${n}`, status: "pass", output: "x", ranAtUnix })) },
    { queryResults: many((n) => ({ queryId: n === 0 ? queryId : `nobody's ${n}`, status: "ok" })) },
    { taskProgress: many((n) => ({ taskId: n === 0 ? taskId : `nobody's ${n}`, outputChunk: "evil" })) },
    { taskResults: many((n) => ({ taskId: n === 0 ? taskId : `nobody's ${n}`, exitCode: 0, resultJson: "{}" })) },
    { taskProgress: [{ taskId, outputChunk: "e".repeat(4_000_000) }] },
    { taskResults: [{ taskId, exitCode: 0, resultJson: "[".repeat(2_000_000) }] },
  ];
  for (const message of messages) {
    const sent = (async () => {
      hostile.send(heartbeat(attacker.agentId, message));
      for (let answer = await hostile.next(); (answer.checks as unknown[]).length > 0; ) answer = await hostile.next();
    })();
    const longestMs = await longestWait(honest, sent);
    t.ok(longestMs < PATIENCE_MS, `${Object.keys(message)}: another agent waited ${Math.round(longestMs)} ms at most`);
  }
  t.match((await readTasks(database, taskIds))[0], { status: "running", raw_output: "", result: null });
  t.match(await database.query("select status from agent_queries where id = $1", [queryId]), [{ status: "pending" }]);
  t.match(await database.query("select check_id, count(*)::int as count from check_results group by 1"), [
    { check_id: ownCheck, count: 100 },
  ]);
  hostile.destroy();
  honest.destroy();
});

t.test("uploads without end leave the others their turn", async (t) => {
  const { taskIds } = await insertRun(database, [own], { type: "software_inventory", status: "running" });
  const [scanId] = taskIds;
  const pkg = (name: string) => ({ name, version: "1", architecture: "amd64" });
  const upload = (identity: TestIdentity, chunks: object[]) =>
    uploadInventory(service, identity, identity.jwt, chunks as Record<string, unknown>[]);
  const half = [{ scanId, source: "dpkg", packages: [pkg("half")] }];
  await t.rejects(upload(attacker, half), { code: Code.INVALID_ARGUMENT });
  const theirRun = await insertRun(database, [theirs], { type: "software_inventory", status: "running" });
  const flood = Promise.all(
    Array.from({ length: 4 }, (_, lane) =>
      upload(
        attacker,
        Array.from({ length: 2_000 }, (_, chunkIndex) => ({
          scanId,
          source: "dpkg",
          chunkIndex,
          packages: [pkg(`evil-${lane}-${chunkIndex}`)],
        })),
      ).catch(({ code }) => code),
    ),
  );
  const honest = await openLiveStream(service, victim);
  const longestMs = await longestWait(honest, flood);
  t.ok(longestMs < PATIENCE_MS, `another agent waited ${Math.round(longestMs)} ms at most`);
  const chunk = { scanId: theirRun.taskIds[0], source: "dpkg", isLast: true, packages: [pkg("bash")] };
  t.match(await upload(victim, [chunk]), { received: 1 });
  t.match(await database.query("select host_id, name from software_packages"), [
    { host_id: theirs.hostId, name: "bash" },
  ]);
  honest.destroy();
});
