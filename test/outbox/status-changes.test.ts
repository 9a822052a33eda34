import t, { type Test } from "tap";
import { runCommand } from "../support/cli.js";
import { createTestKey, enrol, openLiveStream, register, registration } from "../support/field-agent.js";
import { comeAndGo, comeBack, machine } from "../support/machines.js";
import { BROKER_AWAY, readOutbox } from "../support/outbox-messages.js";
import { startTestService, type TestService } from "../support/service.js";

/** A service, and the changes of an agent's status that it told of, as `from > to`. */
async function startTelling(t: Test) {
  const service = await startTestService(t, { env: BROKER_AWAY });
  const told = async (agentId: string) =>
    (await readOutbox(service.database, "agent.status")).filter((body) => body.agent_id === agentId);
  const changes = async (agentId: string) => (await told(agentId)).map(({ from, to }) => `${from} > ${to}`);
  return { service, told, changes };
}

/** A command of an operator, whose environment says nothing of a broker. */
async function command(t: Test, service: TestService, ...args: string[]): Promise<void> {
  const { exitCode, errors } = await runCommand({ DATABASE_URL: service.database.url }, args);
  t.equal(exitCode, 0, errors);
}

t.test("each line in the history of an agent is one message, whoever wrote it", async (t) => {
  const { service, told, changes } = await startTelling(t);
  const approved = await service.createToken();
  const waiting = await service.createToken({ autoApprove: false });
  const of = machine("web-01", "192.0.2.10");

  const a = await enrol(service, approved, of);
  t.same(await changes(a.agentId), ["null > pending", "pending > active"], "new");
  const [host] = await service.database.query("select id from hosts");
  await comeAndGo(service, a, ["192.0.2.10"]);
  t.same((await changes(a.agentId)).slice(2), ["active > offline"]);
  t.match(await register(service, await registration(createTestKey(), approved, of)), { status: "pending" });
  t.same((await changes(a.agentId)).slice(3), ["offline > pending"], "adopted");
  t.match(await comeBack(service, approved, of, a), { status: "active" });
  t.same((await changes(a.agentId)).slice(4), ["pending > offline"], "and taken back");
  const stream = await openLiveStream(service, a);
  t.same((await changes(a.agentId)).slice(5), ["offline > active"]);
  await command(t, service, "agent", "revoke", a.agentId, "--reason", "lost");
  await stream.ended.catch(() => {});
  t.same((await changes(a.agentId)).slice(6), ["active > revoked"]);
  await command(t, service, "agent", "unrevoke", a.agentId);
  await command(t, service, "agent", "approve", a.agentId);
  t.same((await changes(a.agentId)).slice(7), ["revoked > pending", "pending > active"]);

  const key = createTestKey();
  const request = await registration(key, waiting, machine("web-02", "192.0.2.20"));
  const { agentId } = await register(service, request);
  await command(t, service, "agent", "reject", agentId);
  t.same(await changes(agentId), ["null > pending", "pending > revoked"]);
  await service.database.query("update agents set deleted_at = now() where id = $1", [agentId]);
  t.match(await register(service, request), { agentId, status: "pending" });
  t.same((await changes(agentId)).slice(2), ["null > pending"], "deleted, and new again");

  for (const id of [a.agentId, agentId]) {
    const history = await service.database.query(
      "select * from agent_status_history where agent_id = $1 order by created_at",
      [id],
    );
    t.same(
      (await told(id)).map(({ message_id, to, reason, at }) => ({ message_id, to, reason, at })),
      history.map((line) => ({
        message_id: line.id,
        to: line.status,
        reason: line.reason,
        at: line.created_at.toISOString(),
      })),
    );
  }
  t.ok(
    (await told(a.agentId)).every(({ host_id }) => host_id === host?.id),
    "each names the host",
  );
  await command(t, service, "agent", "delete", a.agentId);
  t.match((await told(a.agentId)).at(-1), {
    host_id: host?.id,
    from: "active",
    to: "deleted",
    reason: /by an operator/,
  });
});

t.test("a command tells nothing where no instance publishes, and none is to", async (t) => {
  const service = await startTestService(t);
  const { agentId } = await enrol(service, await service.createToken());
  await command(t, service, "agent", "revoke", agentId);
  t.same(await service.database.query("select from ingest.outbox"), []);

  const env = { DATABASE_URL: service.database.url, INGEST_AMQP_URL: "amqp://127.0.0.1:1" };
  t.match(await runCommand(env, ["agent", "unrevoke", agentId]), { exitCode: 0 });
  t.match(await readOutbox(service.database, "agent.status"), [{ agent_id: agentId, to: "pending" }]);
});
