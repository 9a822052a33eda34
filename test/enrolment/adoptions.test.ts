import { status as Code } from "@grpc/grpc-js";
import pg from "pg";
import t, { type Test } from "tap";
import { approveAgent, rejectAgent, revokeAgent } from "../../dist/enrolment/operators/approval.js";
import { revokeCertificatesOfRevokedAgents } from "../../dist/store/identity/client-certificates.js";
import { createTestKey, enrol, openLiveStream, register, registration } from "../support/agents/field-agent.js";
import { comeAndGo, comeBack, identityOf, machine, passTime, registerMachine } from "../support/agents/machines.js";
import { agentCaKey, forgeCertificate } from "../support/certificates/certificates.js";
import { connectTo } from "../support/database/database.js";
import { deleteHost } from "../support/database/delete-host.js";
import { rejectInWebApp } from "../support/database/web-app.js";
import { startTestService, type TestService } from "../support/service.js";
import { shareTestService } from "../support/shared-service.js";

const sharedService = shareTestService(t);
const strictService = shareTestService(t, { env: { INGEST_ADDRESS_MATCH: "strict" } });

t.test("a machine whose stream has ended is adopted, and waits for approval", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken({ tags: [{ key: "env", value: "prod" }] });
  const before = await enrol(service, token, machine("web-01", "192.0.2.10", "172.17.0.1"));
  await comeAndGo(service, before, ["192.0.2.10", "172.17.0.1"]);
  await passTime(service);
  await query(`update hosts set metadata = metadata || '{"terminalEnabled":true}'`);

  const key = createTestKey();
  const of = machine("web-01", "192.0.2.99", "172.17.0.1");
  const request = await registration(key, token, { ...of, tags: [{ key: "role", value: "db" }] });
  const reply = await register(service, request);
  t.match(
    reply,
    { status: "pending", agentId: before.agentId, jwtToken: "", clientCertPem: "" },
    "despite auto-approve",
  );
  t.match(await query("select * from agents"), [
    { status: "pending", public_key: key.rawPem, client_cert_pem: null, client_cert_serial: null, approved_at: null },
  ]);
  const [host, ...others] = await query("select * from hosts");
  t.same(others, []);
  t.match(host, { hostname: "web-01", status: "offline", ip_addresses: null });
  t.equal(host?.metadata.terminalEnabled, true, "what the web app keeps there stays");
  t.same(host?.metadata.pendingTags, [
    { key: "env", value: "prod" },
    { key: "role", value: "db" },
  ]);
  t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 2 }]);
  const [adopted] = await query("select status, reason from agent_status_history where reason like 'adopted%'");
  t.match(adopted, { status: "pending", reason: /new key from (127\.0\.0\.1|::1) \(same hostname\)/ });
  await t.rejects(openLiveStream(service, before), { code: Code.UNAUTHENTICATED }, "the old key is off the record");

  t.match(await register(service, request), { status: "pending", agentId: before.agentId });
  t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 2 }], "polls cost nothing");

  await approveAgent(service.publishing, before.agentId);
  const approved = await register(service, request);
  t.match(approved, { status: "active", agentId: before.agentId });
  t.same(
    (await query("select key from tags order by key")).map((tag) => tag.key),
    ["env", "role"],
  );
  await t.rejects(openLiveStream(service, before), { code: Code.UNAUTHENTICATED }, "and stays off it");
  const stream = await openLiveStream(service, identityOf(approved, key));
  await t.rejects(
    register(service, await registration(before.key, token, of)),
    { code: Code.ALREADY_EXISTS },
    "once approved, the old key undoes nothing",
  );
  stream.end();
  t.same(await query("select from ingest.agent_adoptions"), []);
});

t.test("the old key, proven, undoes an adoption that nobody approved", async (t) => {
  const service = await strictService();
  const { query } = service.database;
  const token = await service.createToken();
  const web = machine("web-01", "192.0.2.10");
  const before = await enrol(service, token, web);
  await comeAndGo(service, before, ["192.0.2.10"]);
  await passTime(service);
  await query('update agents set approved_by_id = (select id from "user" limit 1)');
  const columns = `to_jsonb(a) - 'updated_at' - 'last_heartbeat_at' as agent, to_jsonb(h) - 'updated_at' - 'last_seen_at' as host`;
  const snapshot = () => query(`select ${columns} from agents a join hosts h on h.agent_id = a.id`);
  const original = await snapshot();

  const adopter = createTestKey();
  const adopting = await registration(adopter, token, machine("WEB-01.example", "192.0.2.10", "192.0.2.11"));
  t.match(await register(service, adopting), { status: "pending", agentId: before.agentId });
  await t.rejects(registerMachine(service, token, web), {
    code: Code.ALREADY_EXISTS,
    details: /taken over by another new key/,
  });
  await passTime(service);
  await t.rejects(
    registerMachine(service, token, web),
    { code: Code.ALREADY_EXISTS, details: /taken over by another new key/ },
    "two new keys do not take turns, even when the first one went silent",
  );
  await query("update agent_enrolment_tokens set deleted_at = now()");
  const back = await comeBack(service, token, web, before);
  t.match(back, { status: "active", agentId: before.agentId }, "without a usable token");
  await query("update agent_enrolment_tokens set deleted_at = null");

  const [restored] = await snapshot();
  const {
    client_cert_pem: _p,
    client_cert_serial: _s,
    client_cert_issued_at: _i,
    client_cert_not_after: _n,
    ...kept
  } = restored?.agent ?? {};
  t.match(original[0]?.agent, kept, "its agent is back as it was");
  t.same(restored?.host, original[0]?.host, "and its host");
  const history = await query("select status, reason from agent_status_history where reason like '%undone%'");
  t.match(history, [{ status: "offline", reason: /own key registered from/ }]);
  const stream = await openLiveStream(service, before);
  await t.rejects(register(service, adopting), { code: Code.ALREADY_EXISTS }, "the adopter is refused from then on");
  stream.end();
  t.match(await register(service, await registration(before.key, "", web)), { status: "active" });
  t.same(await query("select from ingest.agent_adoptions"), []);
});

t.test("approved in the web app, an adoption cannot be undone; nor when it is revoked later", async (t) => {
  const service = await sharedService();
  const token = await service.createToken();
  const of = machine("web-01");
  const before = await enrol(service, token, of);
  await passTime(service);
  const request = await registration(createTestKey(), token, of);
  t.match(await register(service, request), { status: "pending", agentId: before.agentId });
  const app = await connectTo(t, service.database.url);
  await app.query("update agents set status = 'active', approved_at = now()");
  await t.rejects(comeBack(service, token, of, before), { code: Code.ALREADY_EXISTS });
  await rejectInWebApp(app, before.agentId);
  await t.rejects(comeBack(service, token, of, before), { code: Code.ALREADY_EXISTS, details: /was revoked/ });
  t.match(await register(service, request), { status: "revoked", agentId: before.agentId });
});

for (const [where, reject] of Object.entries({
  "the web app": async (t: Test, service: TestService, agentId: string) =>
    rejectInWebApp(await connectTo(t, service.database.url), agentId),
  "a command": async (_: Test, service: TestService, agentId: string) => {
    await rejectAgent(service.publishing, agentId, "not ours");
  },
})) {
  t.test(
    `an adoption that is rejected in ${where} leaves the agent to its own key, and the other one out`,
    async (t) => {
      const service = await sharedService();
      const { query } = service.database;
      const token = await service.createToken();
      const of = machine("web-01", "192.0.2.10");
      const before = await enrol(service, token, of);
      await comeAndGo(service, before, ["192.0.2.10"]);
      await passTime(service);
      const request = await registration(createTestKey(), token, of);
      t.match(await register(service, request), { status: "pending", agentId: before.agentId });
      await reject(t, service, before.agentId);
      t.match(await register(service, request), { status: "revoked", agentId: before.agentId });
      // Certificates of agents that are revoked are revoked too; not these.
      await revokeCertificatesOfRevokedAgents(service.store.db, { reason: "test" });

      const withoutCertificate = await registerMachine(service, "", of, before.key);
      t.match(withoutCertificate, { status: "active", agentId: before.agentId }, "an operator has decided");
      t.equal(withoutCertificate.clientCertPem, before.certificatePem, "what it has is good");
      t.match(await query("select status, public_key from agents"), [
        { status: "offline", public_key: before.key.rawPem },
      ]);
      t.match(await query("select hostname, ip_addresses from hosts"), [{ ip_addresses: ["192.0.2.10"] }]);
      const [history] = await query("select status, reason from agent_status_history where reason like '%undone'");
      t.match(history, { status: "offline", reason: /own key registered from .* which was rejected, is undone/ });
      const stream = await openLiveStream(service, { ...before, jwt: withoutCertificate.jwtToken });
      stream.end();
      await stream.ended;

      await passTime(service);
      t.match(await register(service, request), { status: "revoked" }, "the rejected key does not take it over again");
      t.match(await registerMachine(service, token, of), { status: "pending" }, "a third one may ask");
    },
  );
}

t.test("a revocation is of all that the agent has, its own key included", async (t) => {
  const service = await sharedService();
  const token = await service.createToken();
  const of = machine("web-01");
  const before = await enrol(service, token, of);
  await passTime(service);
  const request = await registration(createTestKey(), token, of);
  await register(service, request);
  await revokeAgent(service.publishing, before.agentId, "stolen");
  t.match(await register(service, request), { status: "revoked" });
  await t.rejects(comeBack(service, token, of, before), { code: Code.ALREADY_EXISTS, details: /was revoked/ });
  t.equal((await service.database.query("select from revoked_certificates")).length, 1);
});

t.test("an old request undoes no adoption: the agent's own key has to be there", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken();
  const of = machine("web-01");
  const before = await enrol(service, token, of);
  const captured = await registration(before.key, token, of);
  await passTime(service);
  t.match(await registerMachine(service, token, of), { status: "pending", agentId: before.agentId });
  const snapshot = () => query("select * from agents order by created_at");
  const adopted = await snapshot();
  const refused = { code: Code.ALREADY_EXISTS, details: /shows no client certificate of it.*operator can reject/ };
  await t.rejects(register(service, captured), refused);
  const stranger = createTestKey();
  const foreign = await registerMachine(service, token, machine("elsewhere"), stranger);
  const shown = { certificatePem: foreign.clientCertPem, privateKeyPem: stranger.privateKeyPem };
  await t.rejects(register(service, captured, shown), refused, "nor does a certificate of another key prove it");
  t.same(await snapshot(), [...adopted, ...(await query("select * from agents where hostname = 'elsewhere'"))]);

  const [{ organisation_id: organisationId } = { organisation_id: "" }] = adopted;
  const stale = await forgeCertificate(await agentCaKey(service), {
    key: before.key,
    uris: [`spiffe://ct-ops/org/${organisationId}/agent/${before.agentId}`],
    notBefore: new Date(Date.now() - 7_200_000),
    notAfter: new Date(Date.now() - 3_600_000),
  });
  const back = await register(service, captured, { ...before, certificatePem: stale });
  t.match(back, { status: "active", agentId: before.agentId }, "one that has expired proves it as well");
  t.match(
    await query("select showed_certificate, remote_address from ingest.agent_registrations where agent_id = $1", [
      before.agentId,
    ]),
    [{ showed_certificate: true, remote_address: /./ }],
  );
  await register(service, captured);
  t.match(
    await query("select showed_certificate from ingest.agent_registrations where agent_id = $1", [before.agentId]),
    [{ showed_certificate: false }],
    "a repeated request is seen",
  );
});

t.test("an agent that never had a certificate has none to show", async (t) => {
  const service = await sharedService();
  const token = await service.createToken({ autoApprove: false });
  const of = machine("web-01");
  const own = createTestKey();
  const first = await registerMachine(service, token, of, own);
  await passTime(service);
  t.match(await registerMachine(service, token, of), { status: "pending", agentId: first.agentId });
  t.match(await registerMachine(service, token, of, own), { status: "pending", agentId: first.agentId });
  const [agent] = await service.database.query("select public_key from agents");
  t.equal(agent?.public_key, own.rawPem);
});

t.test("of an agent with two hosts everything takes the same one, and gives it back", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken();
  const before = await enrol(service, token, machine("web-01"));
  // The second one has the smaller id.
  await query(
    `insert into hosts (id, organisation_id, agent_id, hostname, status, created_at)
     select '0', organisation_id, agent_id, 'web-01-again', 'online', now() + interval '1 hour' from hosts`,
  );
  await comeAndGo(service, before, ["192.0.2.10"]);
  const hosts = () =>
    query("select to_jsonb(h) - 'updated_at' - 'last_seen_at' as host from hosts h order by created_at");
  const original = await hosts();
  t.match(original, [{ host: { hostname: "web-01", ip_addresses: ["192.0.2.10"] } }, { host: { ip_addresses: null } }]);
  await passTime(service);
  for (const name of ["web-01", "WEB-01-again"]) {
    const reply = await registerMachine(service, token, machine(name, "192.0.2.10"));
    t.match(
      reply,
      { status: "pending", agentId: before.agentId },
      "one machine, and gone, whatever the other row says",
    );
    t.match(await hosts(), [{ host: { hostname: name, ip_addresses: null } }, original[1]]);
    t.match(await comeBack(service, "", machine("web-01"), before), { status: "active" });
    t.same(await hosts(), original);
    await passTime(service);
  }
  await registerMachine(service, token, machine("web-01"));
  await approveAgent(service.publishing, before.agentId);
  t.match(await hosts(), [{ host: { hostname: "web-01" } }, original[1]]);
});

t.test("the key of a deleted agent may adopt another one", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken();
  const first = await enrol(service, token, machine("web-01"));
  await query("update agents set deleted_at = now()");
  await query("update hosts set deleted_at = now()");
  const second = await enrol(service, token, machine("web-01"));
  await passTime(service);
  t.match(await registerMachine(service, token, machine("web-01"), first.key), {
    status: "pending",
    agentId: second.agentId,
  });
  t.match(await comeBack(service, token, machine("web-01"), second), { status: "active", agentId: second.agentId });
});

t.test("an adopted agent that was deleted and enrolled anew is not the old key's to take back", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken();
  const web = machine("web-01");
  const before = await enrol(service, token, web);
  await passTime(service);
  const adopter = createTestKey();
  t.match(await registerMachine(service, token, web, adopter), { status: "pending", agentId: before.agentId });
  await query("update agents set deleted_at = now()");
  await query("update hosts set deleted_at = now()");
  const waiting = await service.createToken({ autoApprove: false });
  t.match(await registerMachine(service, waiting, web, adopter), { status: "pending", agentId: before.agentId });
  await t.rejects(
    registerMachine(service, "", web, before.key),
    { code: Code.INVALID_ARGUMENT },
    "it needs a token of its own",
  );
  await t.rejects(registerMachine(service, token, web, before.key), { code: Code.ALREADY_EXISTS });
  t.match(await query("select status, public_key from agents"), [{ status: "pending", public_key: adopter.rawPem }]);
});

t.test("a host that is adopted under another name is still found by what it was", async (t) => {
  const service = await strictService();
  const { query } = service.database;
  const token = await service.createToken();
  const web = machine("web-01", "192.0.2.10", "192.0.2.11");
  const before = await enrol(service, token, web);
  for (const seen of [false, true]) {
    if (seen) await comeAndGo(service, before, ["192.0.2.10", "192.0.2.11"]);
    await passTime(service);
    t.match(await registerMachine(service, token, machine("other", "192.0.2.10")), { status: "pending" });
    for (const [of, matched] of [
      [machine("WEB-01"), "host web-01 .*same hostname"],
      [machine("db-01", "192.0.2.11"), "same address 192.0.2.11"],
      [machine("other"), "host other .*same hostname"],
    ] as const) {
      const details = new RegExp(`${matched}.*taken over by another new key`);
      await t.rejects(registerMachine(service, token, of), { code: Code.ALREADY_EXISTS, details });
    }
    t.match(await comeBack(service, "", web, before), { status: "active", agentId: before.agentId });
  }
  t.match(await query("select hostname from hosts"), [{ hostname: "web-01" }]);

  await passTime(service);
  const other = createTestKey();
  t.match(await registerMachine(service, token, machine("other", "192.0.2.10"), other), { status: "pending" });
  await query("update agents set status = 'active'");
  const anew = await registerMachine(service, token, machine("web-01", "192.0.2.11"));
  t.not(anew.agentId, before.agentId, "once approved it is another machine");
});

t.test("INGEST_ADOPT_AUTO_APPROVE makes a token that approves by itself approve an adoption too", async (t) => {
  const service = await startTestService(t, { env: { INGEST_ADOPT_AUTO_APPROVE: "true" } });
  const { query } = service.database;
  const token = await service.createToken({ tags: [{ key: "env", value: "prod" }] });
  const web = machine("web-01", "192.0.2.10");
  const before = await enrol(service, token, web);
  await passTime(service);
  const key = createTestKey();
  const reply = await registerMachine(service, token, web, key);
  t.match(reply, { status: "active", agentId: before.agentId });
  const stream = await openLiveStream(service, identityOf(reply, key));
  t.same(
    (await query("select status from agent_status_history order by created_at, status desc")).map((row) => row.status),
    ["pending", "active", "pending", "active"],
  );
  await t.rejects(registerMachine(service, token, web, before.key), { code: Code.ALREADY_EXISTS });
  stream.end();
  await stream.ended;
  await passTime(service);

  const manual = await service.createToken({ autoApprove: false });
  t.match(await registerMachine(service, manual, web), { status: "pending", agentId: before.agentId });
});

t.test("a host that the web app deletes is not waited for, and then is gone", async (t) => {
  const service = await sharedService();
  const token = await service.createToken();
  const first = await enrol(service, token, machine("web-01"));
  await passTime(service);
  const holder = new pg.Client({ connectionString: service.database.url });
  await holder.connect();
  await holder.query("begin; select from hosts for update");
  const startedAt = performance.now();
  await t.rejects(registerMachine(service, token, machine("web-01")), { code: Code.UNAVAILABLE });
  t.ok(performance.now() - startedAt < 3_000, "at once");
  await holder.end();
  await deleteHost(service.database, first.agentId);
  t.match(await registerMachine(service, token, machine("web-01")), { status: "active" });
});

t.test("an old key and its adopter at the same moment end with one of the two", async (t) => {
  const service = await sharedService();
  const second = await startTestService(t, { of: service });
  const { query } = service.database;
  const token = await service.createToken();
  for (let round = 1; round <= 10; round++) {
    const of = machine(`host-${round}`);
    const old = await enrol(service, token, of);
    await passTime(service);
    const adopter = createTestKey();
    const calls = [0, 1].flatMap(() => [
      comeBack(second, token, of, old),
      registerMachine(service, token, of, adopter),
    ]);
    const [first] = await Promise.allSettled(calls);
    t.match(first, { status: "fulfilled", value: { status: "active" } }, "the old key always gets in");
    const [agent] = await query("select public_key, status from agents where hostname = $1", [`host-${round}`]);
    const last = await comeBack(service, "", of, old);
    t.equal(last.status, "active");
    t.ok([old.key.rawPem, adopter.rawPem].includes(agent?.public_key));
  }
  t.same(await query("select from agents where status <> 'active'"), []);
  t.same(await query("select from ingest.agent_adoptions"), []);
});
