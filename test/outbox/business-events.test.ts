import t, { type Test } from "tap";
import { DuplicateNotices } from "../../dist/enrolment/duplicates/duplicate-notices.js";
import { createStoringOutbox } from "../../dist/outbox/storing-outbox.js";
import {
  createTestCsr,
  createTestKey,
  enrol,
  openLiveStream,
  register,
  registration,
  renewCertificate,
} from "../support/agents/field-agent.js";
import { comeAndGo, comeBack, machine, passTime } from "../support/agents/machines.js";
import { runCommand } from "../support/commands/cli.js";
import { BROKER_AWAY, readOutbox } from "../support/database/outbox-messages.js";
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
  const [host] = await service.database.query("select id, organisation_id from hosts");
  await comeAndGo(service, a, ["192.0.2.10"]);
  await passTime(service);
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
  await command(t, service, "agent", "delete", "--yes", a.agentId);
  const events = await readOutbox(service.database, "events.raw");
  const [{ id: tokenId } = { id: "" }] = await service.database.query(
    "select id from agent_enrolment_tokens where auto_approve",
  );
  const own = { agent_id: a.agentId, hostname: "web-01", org_id: host?.organisation_id };
  t.match(
    events.filter((event) => event.agent_id === a.agentId),
    [
      { type: "certificate.issued", ...own, serial: /^[0-9a-f]+$/ },
      { type: "agent.registered", ...own, status: "active", token_id: tokenId, host_id: host?.id },
      { type: "agent.adopted", ...own, status: "pending", matched: "same hostname, same address 192.0.2.10" },
      { type: "agent.adoption_undone", ...own },
      { type: "agent.revoked", ...own, reason: "lost" },
      { type: "agent.unrevoked", ...own },
      { type: "agent.approved", ...own },
      { type: "agent.deleted", ...own },
    ],
  );
  t.same(
    events.filter((event) => event.agent_id === agentId).map(({ type }) => type),
    ["agent.registered", "agent.rejected", "agent.registered"],
  );
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

t.test("tokens, renewals and duplicates are told", async (t) => {
  const service = await startTestService(t, { env: BROKER_AWAY });
  const env = { DATABASE_URL: service.database.url };
  const created = JSON.parse(
    (await runCommand(env, ["token", "create", "--label", "web", "--auto-approve", "--json"])).output,
  );
  await command(t, service, "token", "revoke", created.id);
  const token = { token_id: created.id, label: "web", org_id: created.organisationId };
  t.match(await readOutbox(service.database, "events.raw"), [
    { type: "token.created", ...token },
    { type: "token.revoked", ...token },
  ]);
  t.match(await runCommand(env, ["token", "revoke", created.id]), { exitCode: 1, errors: /or it is revoked already/ });

  const usable = await service.createToken();
  const of = machine("web-01", "192.0.2.10");
  const a = await enrol(service, usable, of);
  const told = (await readOutbox(service.database, "events.raw")).length;
  await renewCertificate(service, { agentId: a.agentId, csrDer: createTestCsr(a.key) }, a);
  t.equal((await readOutbox(service.database, "events.raw")).length, told, "one that is handed out again is none");
  await service.database.query("update agents set client_cert_pem = null");
  await renewCertificate(service, { agentId: a.agentId, csrDer: createTestCsr(a.key) }, a);
  await service.database.query("update agents set client_cert_pem = null");
  await register(service, await registration(a.key, usable, of), a);
  const [{ client_cert_serial: serial } = {}] = await service.database.query("select client_cert_serial from agents");
  const second = createTestKey();
  for (let n = 0; n < 3; n++) await t.rejects(register(service, await registration(second, usable, of)));
  t.match((await readOutbox(service.database, "events.raw")).slice(told), [
    { type: "certificate.renewed", agent_id: a.agentId, hostname: "web-01" },
    { type: "certificate.issued", agent_id: a.agentId, serial },
    { type: "agent.duplicate_refused", hostname: "web-01", reason: /this machine exists already as host web-01/ },
  ]);
});

t.test(
  "a machine that is refused again and again is told once an hour, and at once when something else is wrong",
  async (t) => {
    const { store, database } = await startTestService(t);
    let now = 0;
    const notices = new DuplicateNotices({ database: store, outbox: createStoringOutbox(), now: () => now });
    const machine = { organisationId: "o", publicKey: "key", hostname: "web-01", reason: "is online" };
    const told = async () => (await readOutbox(database, "events.raw")).map(({ reason }) => reason);
    await notices.tell(machine);
    now = 59 * 60_000;
    await notices.tell(machine);
    t.same(await told(), ["is online"]);
    await notices.tell({ ...machine, reason: "was revoked" });
    await notices.tell({ ...machine, publicKey: "another key" });
    now = 61 * 60_000;
    await notices.tell(machine);
    t.same(await told(), ["is online", "was revoked", "is online", "is online"]);
  },
);
