import { status as Code } from "@grpc/grpc-js";
import pg from "pg";
import t from "tap";
import { approveAgent, revokeAgent } from "../../dist/enrolment/operators/approval.js";
import { findMatchingHosts } from "../../dist/store/enrolment/matching-hosts.js";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import { deleteHost } from "../support/delete-host.js";
import {
  createTestKey,
  enrol,
  heartbeat,
  openLiveStream,
  openStream,
  type RegisterReply,
  register,
  registration,
  type TestIdentity,
  type TestKey,
} from "../support/field-agent.js";
import { startTestService, type TestService } from "../support/service.js";

/** Refusals of one address in a minute are bounded otherwise. */
const UNLIMITED = { INGEST_REGISTER_REFUSALS_PER_MINUTE: "0" };

/** As if this much time had passed since anything was heard of any agent. */
function passTime({ database }: TestService, seconds = 91): Promise<unknown> {
  return Promise.all([
    database.query("update ingest.agent_registrations set registered_at = registered_at - make_interval(secs => $1)", [
      seconds,
    ]),
    database.query("update agents set last_heartbeat_at = last_heartbeat_at - make_interval(secs => $1)", [seconds]),
    database.query("update ingest.agent_sessions set opened_at = opened_at - make_interval(secs => $1)", [seconds]),
  ]);
}

/** A machine: it keeps its hostname and addresses whichever key it has. */
function machine(hostname: string, ...ipAddresses: string[]) {
  return { agentInfo: { hostname, version: "v1" }, platformInfo: { os: "linux", arch: "amd64", ipAddresses } };
}

async function claim(service: TestService, token: string, of: object, key = createTestKey()): Promise<RegisterReply> {
  return register(service, await registration(key, token, of));
}

/** Opens and ends a stream: the host is offline, and its addresses are on record. */
async function comeAndGo(service: TestService, identity: TestIdentity, ipAddresses: string[]): Promise<void> {
  const stream = openStream(service, identity);
  stream.send(
    heartbeat(identity.jwt, { networkInterfaces: [{ name: "eth0", ipAddresses, macAddress: "", isUp: true }] }),
  );
  await stream.next();
  stream.end();
  await stream.ended;
}

t.test("a machine that is there is not taken over", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken();
  const web = machine("web-01", "192.0.2.10");
  const identity = await enrol(service, token, web);
  const snapshot = async () => [await query("select * from agents"), await query("select * from hosts")];
  const refused = async (details: RegExp, of: object = web) => {
    const before = await snapshot();
    await t.rejects(claim(service, token, of), { code: Code.ALREADY_EXISTS, details });
    t.same(await snapshot(), before, "nothing changed");
    t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 1 }]);
  };

  await refused(/host web-01 .*same hostname.* registered less than 90 seconds ago; .*delete that host/);
  await refused(/same hostname/, machine("WEB-01"));
  await refused(/same address 192\.0\.2\.10/, machine("db-01", "192.0.2.10"));

  const stream = await openLiveStream(service, identity);
  await passTime(service, 89);
  await refused(/is online/);
  await query("update hosts set status = 'offline'");
  await refused(/has a stream open/);
  stream.end();
  await stream.ended;

  await register(service, await registration(identity.key, "", web));
  await refused(/registered less than 90 seconds ago/);
  await passTime(service);
  await revokeAgent(service.store, identity.agentId, "stolen");
  await refused(/was revoked; an operator can/);
});

t.test("a machine whose stream has ended is adopted, and waits for approval", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken({ tags: [{ key: "env", value: "prod" }] });
  const before = await enrol(service, token, machine("web-01", "192.0.2.10", "172.17.0.1"));
  await comeAndGo(service, before, ["192.0.2.10", "172.17.0.1"]);
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
  const [claimed] = await query("select status, reason from agent_status_history where reason like 'claimed%'");
  t.match(claimed, { status: "pending", reason: /new key from (127\.0\.0\.1|::1) \(same hostname\)/ });
  await t.rejects(openLiveStream(service, before), { code: Code.UNAUTHENTICATED }, "the old key is off the record");

  t.match(await register(service, request), { status: "pending", agentId: before.agentId });
  t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 2 }], "polls cost nothing");

  await approveAgent(service.store, before.agentId);
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
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken();
  const web = machine("web-01", "192.0.2.10");
  const before = await enrol(service, token, web);
  await comeAndGo(service, before, ["192.0.2.10"]);
  await query('update agents set approved_by_id = (select id from "user" limit 1)');
  const columns = `to_jsonb(a) - 'updated_at' - 'last_heartbeat_at' as agent, to_jsonb(h) - 'updated_at' as host`;
  const snapshot = () => query(`select ${columns} from agents a join hosts h on h.agent_id = a.id`);
  const original = await snapshot();

  const claimant = createTestKey();
  const claiming = await registration(claimant, token, machine("WEB-01.example", "192.0.2.10", "192.0.2.11"));
  t.match(await register(service, claiming), { status: "pending", agentId: before.agentId });
  await t.rejects(claim(service, token, web), { code: Code.ALREADY_EXISTS, details: /claimed by another new key/ });
  await passTime(service);
  await t.rejects(
    claim(service, token, web),
    { code: Code.ALREADY_EXISTS, details: /claimed by another new key/ },
    "two claimants do not take turns, even when the first one went silent",
  );
  await query("update agent_enrolment_tokens set deleted_at = now()");
  const back = await register(service, await registration(before.key, token, web));
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
  await t.rejects(register(service, claiming), { code: Code.ALREADY_EXISTS }, "the claimant is refused from then on");
  stream.end();
  t.match(await register(service, await registration(before.key, "", web)), { status: "active" });
  t.same(await query("select from ingest.agent_adoptions"), []);
});

t.test("approved in the web app, an adoption cannot be undone; rejected, it stays revoked", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken();
  for (const status of ["active", "revoked"]) {
    const of = machine(`host-${status}`);
    const before = await enrol(service, token, of);
    await passTime(service);
    const key = createTestKey();
    const request = await registration(key, token, of);
    t.match(await register(service, request), { status: "pending", agentId: before.agentId });
    await query("update agents set status = $1 where id = $2", [status, before.agentId]);
    if (status === "active") await passTime(service, 10);
    await t.rejects(
      register(service, await registration(before.key, token, of)),
      { code: Code.ALREADY_EXISTS },
      status,
    );
    t.match(await register(service, request), { status, agentId: before.agentId });
  }
});

t.test("a pending machine that was made anew is adopted after its silence, found by name or address", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken({ autoApprove: false });
  const first = await claim(service, token, machine("web-01", "192.0.2.10"));
  await t.rejects(claim(service, token, machine("web-01")), { code: Code.ALREADY_EXISTS });
  await t.rejects(claim(service, token, machine("db-01", "192.0.2.10")), { code: Code.ALREADY_EXISTS });
  await passTime(service);
  const renamed = await claim(service, token, machine("db-01", "192.0.2.10"));
  t.match(renamed, { status: "pending", agentId: first.agentId });
  t.match(await query("select hostname from hosts"), [{ hostname: "db-01" }]);
  const [history] = await query("select reason from agent_status_history where reason like 'claimed%'");
  t.match(history?.reason, /\(same address 192\.0\.2\.10\)/);
});

t.test("addresses count as the host last reported them, not as it once registered", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const moved = await enrol(service, token, machine("web-01", "192.0.2.10"));
  await comeAndGo(service, moved, ["192.0.2.11"]);
  await passTime(service);
  t.not((await claim(service, token, machine("web-02", "192.0.2.10"))).agentId, moved.agentId);
  t.equal((await claim(service, token, machine("web-03", "192.0.2.11"))).agentId, moved.agentId);
});

t.test("what does not tell machines apart never matches", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const shared = ["172.17.0.1", "10.88.0.1", "192.168.122.1", "127.0.0.1", "::1", "169.254.1.1", "fe80::1"];
  const first = await enrol(service, token, machine("web-01", ...shared));
  const stream = openStream(service, first);
  stream.send(
    heartbeat(first.jwt, { networkInterfaces: [{ name: "docker0", ipAddresses: shared, macAddress: "", isUp: true }] }),
  );
  await stream.next();
  const agentIds = new Set([first.agentId]);
  for (const hostname of ["web-02", "localhost", "localhost", "LOCALHOST.localdomain", "unknown", "unknown", "", ""]) {
    const reply = await claim(service, token, machine(hostname, ...shared));
    t.equal(reply.status, "active", hostname);
    agentIds.add(reply.agentId);
  }
  t.equal(agentIds.size, 9);
  stream.end();
});

t.test("other organisations' hosts and deleted ones never match", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  await insertOrganisation(service.store.db, { name: "Other", slug: "other" });
  const own = await service.createToken({ organisationSlug: "test" });
  const other = await service.createToken({ organisationSlug: "other" });
  const web = machine("web-01", "192.0.2.10");
  const first = await enrol(service, own, web);
  await comeAndGo(service, first, ["192.0.2.10"]);
  t.match(await claim(service, other, web), { status: "active" });
  await query("update hosts set deleted_at = now() where agent_id = $1", [first.agentId]);
  const anew = await claim(service, own, web);
  t.equal(anew.status, "active");
  t.not(anew.agentId, first.agentId);
});

t.test("several that match: a live one decides, of those that are gone none", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const one = await enrol(service, token, machine("web-01", "192.0.2.1"));
  await enrol(service, token, machine("web-02", "192.0.2.2"));
  const both = machine("web-02", "192.0.2.1");
  await passTime(service);
  await t.rejects(claim(service, token, both), {
    code: Code.ALREADY_EXISTS,
    details: /several hosts .*host web-0[12] .*host web-0[12] /,
  });
  const stream = await openLiveStream(service, one);
  await t.rejects(claim(service, token, machine("web-02", "192.0.2.10")), {
    code: Code.ALREADY_EXISTS,
    details: /host web-01 \([a-z0-9]+; same address 192\.0\.2\.10\), which is online/,
  });
  stream.end();
});

t.test("a host without an agent is given one, also when that agent was deleted", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken();
  const first = await enrol(service, token, machine("web-01"));
  await query("update hosts set agent_id = null");
  const second = await claim(service, token, machine("web-01"));
  t.equal(second.status, "pending");
  t.not(second.agentId, first.agentId);
  await query("update agents set deleted_at = now()");
  const third = await claim(service, token, machine("web-01"));
  t.match(await query("select agent_id from hosts"), [{ agent_id: third.agentId }]);

  const [returned] = await query("select public_key from agents where id = $1", [second.agentId]);
  t.ok(returned);
});

t.test("the key of a deleted agent may adopt another one", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken();
  const first = await enrol(service, token, machine("web-01"));
  await query("update agents set deleted_at = now()");
  await query("update hosts set deleted_at = now()");
  const second = await enrol(service, token, machine("web-01"));
  await passTime(service);
  t.match(await claim(service, token, machine("web-01"), first.key), { status: "pending", agentId: second.agentId });
  t.match(await claim(service, token, machine("web-01"), second.key), { status: "active", agentId: second.agentId });
});

t.test("a claimed agent that was deleted and enrolled anew is not the old key's to take back", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken();
  const web = machine("web-01");
  const before = await enrol(service, token, web);
  await passTime(service);
  const claimant = createTestKey();
  t.match(await claim(service, token, web, claimant), { status: "pending", agentId: before.agentId });
  await query("update agents set deleted_at = now()");
  await query("update hosts set deleted_at = now()");
  const waiting = await service.createToken({ autoApprove: false });
  t.match(await claim(service, waiting, web, claimant), { status: "pending", agentId: before.agentId });
  await t.rejects(claim(service, "", web, before.key), { code: Code.INVALID_ARGUMENT }, "it needs a token of its own");
  await t.rejects(claim(service, token, web, before.key), { code: Code.ALREADY_EXISTS });
  t.match(await query("select status, public_key from agents"), [{ status: "pending", public_key: claimant.rawPem }]);
});

t.test("a host that is claimed under another name is still found by what it was", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken();
  const web = machine("web-01", "192.0.2.10", "192.0.2.11");
  const before = await enrol(service, token, web);
  for (const seen of [false, true]) {
    if (seen) await comeAndGo(service, before, ["192.0.2.10", "192.0.2.11"]);
    await passTime(service);
    t.match(await claim(service, token, machine("other", "192.0.2.10")), { status: "pending" });
    for (const [of, matched] of [
      [machine("WEB-01"), "host web-01 .*same hostname"],
      [machine("db-01", "192.0.2.11"), "same address 192.0.2.11"],
      [machine("other"), "host other .*same hostname"],
    ] as const) {
      const details = new RegExp(`${matched}.*claimed by another new key`);
      await t.rejects(claim(service, token, of), { code: Code.ALREADY_EXISTS, details });
    }
    t.match(await claim(service, "", web, before.key), { status: "active", agentId: before.agentId });
  }
  t.match(await query("select hostname from hosts"), [{ hostname: "web-01" }]);

  await passTime(service);
  const other = createTestKey();
  t.match(await claim(service, token, machine("other", "192.0.2.10"), other), { status: "pending" });
  await query("update agents set status = 'active'");
  const anew = await claim(service, token, machine("web-01", "192.0.2.11"));
  t.not(anew.agentId, before.agentId, "once approved it is another machine");
});

t.test("one key at the same moment with two descriptions of its machine is one agent", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken();
  for (let round = 1; round <= 5; round++) {
    await enrol(service, token, machine(`gone-${round}`));
    await passTime(service);
    const key = createTestKey();
    const replies = await Promise.all(
      ["new", "gone", "new", "gone"].map((name) => claim(service, token, machine(`${name}-${round}`), key)),
    );
    t.equal(new Set(replies.map(({ agentId }) => agentId)).size, 1);
    t.equal((await query("select from agents where public_key = $1", [key.rawPem])).length, 1);
  }
});

t.test("INGEST_ADOPT_AUTO_APPROVE makes a token that approves by itself approve an adoption too", async (t) => {
  const service = await startTestService(t, { env: { INGEST_ADOPT_AUTO_APPROVE: "true" } });
  const { query } = service.database;
  const token = await service.createToken({ tags: [{ key: "env", value: "prod" }] });
  const web = machine("web-01", "192.0.2.10");
  const before = await enrol(service, token, web);
  await passTime(service);
  const key = createTestKey();
  const reply = await claim(service, token, web, key);
  t.match(reply, { status: "active", agentId: before.agentId });
  const stream = await openLiveStream(service, identityOf(reply, key));
  t.same(
    (await query("select status from agent_status_history order by created_at, status desc")).map((row) => row.status),
    ["pending", "active", "pending", "active"],
  );
  await t.rejects(claim(service, token, web, before.key), { code: Code.ALREADY_EXISTS });
  stream.end();
  await stream.ended;

  const manual = await service.createToken({ autoApprove: false });
  t.match(await claim(service, manual, web), { status: "pending", agentId: before.agentId });
});

t.test("of very many hosts that match no more are read than it takes to refuse, and one that is online", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const [{ id: organisationId } = { id: "" }] = await service.database.query("select id from organisations");
  await service.database.query(
    `insert into hosts (id, organisation_id, hostname, status, ip_addresses)
     select 'h' || i, $1, 'host-' || i, case i when 3000 then 'online' else 'offline' end, '["192.0.2.10"]'
     from generate_series(1, 3000) i`,
    [organisationId],
  );
  await t.rejects(claim(service, token, machine("new", "192.0.2.10")), {
    code: Code.ALREADY_EXISTS,
    details: /host-3000 \(h3000; same address 192\.0\.2\.10\), which is online/,
  });
  const shared = { organisationId, hostname: undefined, addresses: ["192.0.2.10"] };
  t.equal((await findMatchingHosts(service.store.db, [shared]))[0]?.length, 100);
});

t.test("a host that the web app deletes is not waited for, and then is gone", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const first = await enrol(service, token, machine("web-01"));
  await passTime(service);
  const holder = new pg.Client({ connectionString: service.database.url });
  await holder.connect();
  await holder.query("begin; select from hosts for update");
  const startedAt = performance.now();
  await t.rejects(claim(service, token, machine("web-01")), { code: Code.UNAVAILABLE });
  t.ok(performance.now() - startedAt < 3_000, "at once");
  await holder.end();
  await deleteHost(service.database, first.agentId);
  t.match(await claim(service, token, machine("web-01")), { status: "active" });
});

t.test("fifty keys of one machine at once on two instances end with one host", async (t) => {
  const service = await startTestService(t, { env: UNLIMITED });
  const second = await startTestService(t, { of: service, env: UNLIMITED });
  const { query } = service.database;
  const token = await service.createToken();
  for (const [name, of] of Object.entries({
    hostname: () => machine("web-01"),
    address: (index: number) => machine(`db-${index}`, "192.0.2.10", `198.51.100.${index}`),
    "very many addresses": (index: number) =>
      machine(`app-${index}`, ...Array.from({ length: 40 }, (_, n) => `10.1.${index}.${n}`), "192.0.2.11"),
  })) {
    const settled = await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) => claim(index % 2 ? service : second, token, of(index))),
    );
    t.equal(settled.filter(({ status }) => status === "fulfilled").length, 1, name);
    t.ok(
      settled.every((result) => result.status === "fulfilled" || result.reason.code === Code.ALREADY_EXISTS),
      "the others are refused",
    );
  }
  t.equal((await query("select from hosts")).length, 3);
  t.equal((await query("select from agents")).length, 3);
  t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 3 }]);

  await passTime(service);
  const claims = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) => claim(index % 2 ? service : second, token, machine("web-01"))),
  );
  t.equal(claims.filter(({ status }) => status === "fulfilled").length, 1, "one claim stands");
  t.equal((await query("select from hosts")).length, 3);
});

t.test("an old key and its claimant at the same moment end with one of the two", async (t) => {
  const service = await startTestService(t);
  const second = await startTestService(t, { of: service });
  const { query } = service.database;
  const token = await service.createToken();
  for (let round = 1; round <= 10; round++) {
    const of = machine(`host-${round}`);
    const old = createTestKey();
    await claim(service, token, of, old);
    await passTime(service);
    const claimant = createTestKey();
    const calls = [old, claimant, old, claimant].map((key, index) =>
      claim(index % 2 ? service : second, token, of, key),
    );
    const [first] = await Promise.allSettled(calls);
    t.match(first, { status: "fulfilled", value: { status: "active" } }, "the old key always gets in");
    const [agent] = await query("select public_key, status from agents where hostname = $1", [`host-${round}`]);
    const last = await claim(service, "", of, old);
    t.equal(last.status, "active");
    t.ok([old.rawPem, claimant.rawPem].includes(agent?.public_key));
  }
  t.same(await query("select from agents where status <> 'active'"), []);
  t.same(await query("select from ingest.agent_adoptions"), []);
});

function identityOf(reply: RegisterReply, key: TestKey): TestIdentity {
  const { agentId, jwtToken: jwt, clientCertPem: certificatePem } = reply;
  return { agentId, key, jwt, certificatePem, privateKeyPem: key.privateKeyPem };
}
