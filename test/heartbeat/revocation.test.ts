import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { approveAgent, revokeAgent, unrevokeAgent } from "../../dist/enrolment/operators/approval.js";
import {
  createTestKey,
  enrol,
  heartbeat,
  openLiveStream,
  openStream,
  register,
  registration,
} from "../support/agents/field-agent.js";
import { deleteHost } from "../support/database/delete-host.js";
import { eventually } from "../support/eventually.js";
import { startTestService, type TestService } from "../support/service.js";

const SCAN_INTERVAL_MS = 5_000;
const LISTENER = "ct-ops-ingest listener";

async function enrolMany(service: TestService, count: number) {
  const token = await service.createToken();
  return Promise.all(
    Array.from({ length: count }, (_, i) => enrol(service, token, { agentInfo: { hostname: `host-${i}` } })),
  );
}

t.test("a stream ends at once when its agent may not hold it any more, with the code that says why", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const cases: [string, (agentId: string) => Promise<unknown>, number, RegExp][] = [
    ["revoked by a command", (id) => revokeAgent(service.publishing, id, "lost"), Code.PERMISSION_DENIED, /is revoked/],
    [
      "rejected by the web app",
      (id) => query("update agents set status = 'revoked' where id = $1", [id]),
      Code.PERMISSION_DENIED,
      /is revoked/,
    ],
    [
      "set back to pending",
      (id) => query("update agents set status = 'pending' where id = $1", [id]),
      Code.PERMISSION_DENIED,
      /is pending/,
    ],
    [
      "agent soft-deleted",
      (id) => query("update agents set deleted_at = now() where id = $1", [id]),
      Code.NOT_FOUND,
      /does not exist, or was deleted/,
    ],
    [
      "host soft-deleted",
      (id) => query("update hosts set deleted_at = now() where agent_id = $1", [id]),
      Code.NOT_FOUND,
      /does not exist, or was deleted/,
    ],
    ["host deleted", (id) => deleteHost(service.database, id), Code.NOT_FOUND, /does not exist, or was deleted/],
    [
      "certificate revoked by the web app",
      (id) =>
        query(
          `insert into revoked_certificates (id, organisation_id, serial)
           select 'r', organisation_id, client_cert_serial from agents where id = $1`,
          [id],
        ),
      Code.UNAUTHENTICATED,
      /certificate was revoked; register again/,
    ],
    [
      "claimed by another key, which waits for approval",
      (id) =>
        query("update agents set status = 'pending', public_key = $2 where id = $1", [id, createTestKey().rawPem]),
      Code.UNAUTHENTICATED,
      /carries another key than the one on record/,
    ],
    [
      "moved to another organisation, and pending there",
      (id) =>
        query(
          `with other as (insert into organisations (id, name, slug) values ('other', 'Other', 'other') returning id)
           update agents set status = 'pending', organisation_id = other.id from other where agents.id = $1`,
          [id],
        ),
      Code.UNAUTHENTICATED,
      /names another organisation than the agent's/,
    ],
  ];
  const agents = await enrolMany(service, cases.length + 1);
  const [bystander, ...victims] = await Promise.all(agents.map((agent) => openLiveStream(service, agent)));
  const answers: (string | undefined)[] = [];
  const startedAt = performance.now();
  for (const [index, [name, act, code, details]] of cases.entries()) {
    await act(agents[index + 1]?.agentId as string);
    const ended = await victims[index]?.ended;
    t.match(ended, { code, details }, name);
    answers.push(ended?.details);
  }
  t.ok(performance.now() - startedAt < SCAN_INTERVAL_MS, "all of them before one scan could have found them");
  for (const [index, [name, , code]] of cases.entries()) {
    const call = openStream(service, agents[index + 1]);
    t.match(await call.ended, { code, details: answers[index] }, `${name}: a new call is answered alike`);
  }

  bystander?.send(heartbeat(agents[0]?.agentId as string));
  t.match(await bystander?.next(), { ok: true }, "other streams go on");
  bystander?.end();
  await bystander?.ended;
  const statuses = await eventually(
    () => query("select hostname, status from agents where deleted_at is null order by hostname"),
    (rows) => rows.find(({ hostname }) => hostname === "host-7")?.status === "offline",
  );
  t.same(
    statuses.filter(({ hostname }) => ["host-1", "host-2", "host-3"].includes(hostname)).map(({ status }) => status),
    ["revoked", "revoked", "pending"],
    "what ends later overwrites nothing",
  );
});

t.test("a notification that is missed costs until the next scan", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  await query(
    "drop trigger ingest_agents_updated on agents; drop trigger ingest_certificates_revoked on revoked_certificates",
  );
  const [a, b] = await enrolMany(service, 2);
  if (a === undefined || b === undefined) throw new Error("not enrolled");
  const [first, second] = [await openLiveStream(service, a), await openLiveStream(service, b)];
  await query("update agents set status = 'revoked' where id = $1", [a.agentId]);
  await query(
    `insert into revoked_certificates (id, organisation_id, serial)
     select 'r', organisation_id, client_cert_serial from agents where id = $1`,
    [b.agentId],
  );
  t.match(await first.ended, { code: Code.PERMISSION_DENIED });
  t.match(await second.ended, { code: Code.UNAUTHENTICATED });
});

t.test("a listening connection that breaks comes back, and what happened meanwhile is found", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const listeners = () =>
    query("select pid from pg_stat_activity where application_name = $1 and datname = current_database()", [LISTENER]);
  const agents = await enrolMany(service, 4);
  const streams = await Promise.all(agents.map((agent) => openLiveStream(service, agent)));
  const [before] = await eventually(listeners, (rows) => rows.length === 1);
  await query("select pg_terminate_backend($1)", [before?.pid]);
  await query("update agents set status = 'revoked' where id = $1", [agents[0]?.agentId]);
  t.match(await streams[0]?.ended, { code: Code.PERMISSION_DENIED }, "while nobody listened");
  await eventually(listeners, ([row]) => row !== undefined && row.pid !== before?.pid);
  const startedAt = performance.now();
  for (const [index, agent] of agents.entries()) {
    if (index === 0) continue;
    await query("update agents set status = 'revoked' where id = $1", [agent.agentId]);
    await streams[index]?.ended;
  }
  t.ok(performance.now() - startedAt < SCAN_INTERVAL_MS, "it listens again");
});

t.test("a revoked agent that is unrevoked is pending, and after an approval it gets another certificate", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const a = await enrol(service, token);
  const request = await registration(a.key, token);
  await revokeAgent(service.publishing, a.agentId, "lost");
  await unrevokeAgent(service.publishing, a.agentId);
  await t.rejects(unrevokeAgent(service.publishing, a.agentId), { code: "operation_refused", message: /is pending/ });
  t.match(await register(service, request), { status: "pending", agentId: a.agentId });
  await approveAgent(service.publishing, a.agentId);
  const back = await register(service, request);
  t.match(back, { status: "active", agentId: a.agentId });
  const old = openStream(service, a);
  old.send(heartbeat(back.jwtToken));
  t.match(await old.ended, { code: Code.UNAUTHENTICATED, details: /was revoked/ }, "the old certificate stays revoked");
  const stream = await openLiveStream(service, {
    ...a,
    jwt: back.jwtToken,
    certificatePem: back.clientCertPem,
  });
  stream.end();
  await stream.ended;
});
