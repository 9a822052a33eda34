import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { revokeAgent } from "../../dist/enrolment/operators/approval.js";
import { listAgents } from "../../dist/store/agents/agent-list.js";
import { openDatabase } from "../../dist/store/database.js";
import { findMatchingHosts } from "../../dist/store/enrolment/matching-hosts.js";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import { migrateStandalone } from "../../dist/store/migrations/migrate.js";
import { listOpenItems } from "../../dist/store/work/open-items.js";
import {
  createTestKey,
  enrol,
  heartbeat,
  openLiveStream,
  openStream,
  register,
  registerAll,
  registration,
} from "../support/agents/field-agent.js";
import { comeAndGo, machine, passTime, registerMachine } from "../support/agents/machines.js";
import { createEmptyDatabase } from "../support/database/database.js";
import { recordStatements } from "../support/database/statements.js";
import { startTestService } from "../support/service.js";
import { shareTestService, UNLIMITED } from "../support/shared-service.js";

/** An address decides as much as a hostname. */
const STRICT = { INGEST_ADDRESS_MATCH: "strict" };

const sharedService = shareTestService(t);
const strictService = shareTestService(t, { env: STRICT });

t.test("a machine that is there is not taken over", async (t) => {
  const service = await strictService();
  const { query } = service.database;
  const token = await service.createToken();
  const web = machine("web-01", "192.0.2.10");
  const identity = await enrol(service, token, web);
  const snapshot = async () => [await query("select * from agents"), await query("select * from hosts")];
  const refused = async (details: RegExp, of: object = web) => {
    const before = await snapshot();
    await t.rejects(registerMachine(service, token, of), { code: Code.ALREADY_EXISTS, details });
    t.same(await snapshot(), before, "nothing changed");
    t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 1 }]);
  };

  await refused(/host web-01 .*same hostname.* registered less than 90 seconds ago; .*delete that host/);
  await refused(/same hostname/, machine("WEB-01"));
  await refused(/same address 192\.0\.2\.10/, machine("db-01", "192.0.2.10"));

  const stream = await openLiveStream(service, identity);
  await passTime(service, 30);
  await refused(/is online/);
  await query("update hosts set status = 'offline'");
  await refused(/has a stream open/);
  stream.end();
  await stream.ended;
  // A connection that broke a moment ago.
  await passTime(service, 30);
  await refused(/was here less than 90 seconds ago/);
  await passTime(service);

  await register(service, await registration(identity.key, "", web));
  await refused(/registered less than 90 seconds ago/);
  await passTime(service);
  await revokeAgent(service.publishing, identity.agentId, "stolen");
  await refused(/was revoked; an operator can/);
});

t.test(
  "a heartbeat or a session of the last 90 seconds is presence, on whichever instance and after a restart",
  async (t) => {
    const service = await startTestService(t, { env: { INGEST_ADOPT_AUTO_APPROVE: "true" } });
    const second = await startTestService(t, { of: service, env: { INGEST_ADOPT_AUTO_APPROVE: "true" } });
    const { query } = service.database;
    const token = await service.createToken();
    const identity = await enrol(service, token, machine("web-01"));
    await comeAndGo(service, identity, []);
    await service.close();
    const third = await startTestService(t, { of: service, env: { INGEST_ADOPT_AUTO_APPROVE: "true" } });
    await query("update ingest.agent_registrations set registered_at = now() - interval '1 h'");
    await query("update agents set approved_at = now() - interval '1 h'");
    const old = "now() - interval '91 s'";
    const recent = "now() - interval '30 s'";
    const cases: [string, Record<"opened" | "closed" | "heartbeat" | "seen", string>][] = [
      ["a session that was opened", { opened: recent, closed: "null", heartbeat: "null", seen: "null" }],
      ["a session that was closed", { opened: old, closed: recent, heartbeat: old, seen: old }],
      ["a heartbeat", { opened: old, closed: old, heartbeat: recent, seen: old }],
      ["a heartbeat of its host", { opened: old, closed: old, heartbeat: old, seen: recent }],
    ];
    for (const [name, { opened, closed, heartbeat, seen }] of cases) {
      await query(`update ingest.agent_sessions set opened_at = ${opened}, closed_at = ${closed}`);
      await query(`update agents set last_heartbeat_at = ${heartbeat}`);
      await query(`update hosts set last_seen_at = ${seen}, status = 'offline'`);
      for (const instance of [second, third]) {
        await t.rejects(registerMachine(instance, token, machine("web-01")), { code: Code.ALREADY_EXISTS }, name);
      }
    }
    await query(`update hosts set last_seen_at = ${old}`);
    t.match(await registerMachine(third, token, machine("web-01")), { status: "active", agentId: identity.agentId });
  },
);

t.test("a pending machine that was made anew is adopted after its silence, found by name or address", async (t) => {
  const service = await strictService();
  const { query } = service.database;
  const token = await service.createToken({ autoApprove: false });
  const first = await registerMachine(service, token, machine("web-01", "192.0.2.10"));
  await t.rejects(registerMachine(service, token, machine("web-01")), { code: Code.ALREADY_EXISTS });
  await t.rejects(registerMachine(service, token, machine("db-01", "192.0.2.10")), { code: Code.ALREADY_EXISTS });
  await passTime(service);
  const renamed = await registerMachine(service, token, machine("db-01", "192.0.2.10"));
  t.match(renamed, { status: "pending", agentId: first.agentId });
  t.match(await query("select hostname from hosts"), [{ hostname: "db-01" }]);
  const [history] = await query("select reason from agent_status_history where reason like 'adopted%'");
  t.match(history?.reason, /\(same address 192\.0\.2\.10\)/);
});

t.test("addresses count as the host last reported them, not as it once registered", async (t) => {
  const service = await strictService();
  const token = await service.createToken();
  const moved = await enrol(service, token, machine("web-01", "192.0.2.10"));
  await comeAndGo(service, moved, ["192.0.2.11"]);
  await passTime(service);
  t.not((await registerMachine(service, token, machine("web-02", "192.0.2.10"))).agentId, moved.agentId);
  t.equal((await registerMachine(service, token, machine("web-03", "192.0.2.11"))).agentId, moved.agentId);
});

t.test("what does not tell machines apart never matches", async (t) => {
  const service = await sharedService();
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
    const reply = await registerMachine(service, token, machine(hostname, ...shared));
    t.equal(reply.status, "active", hostname);
    agentIds.add(reply.agentId);
  }
  t.equal(agentIds.size, 9);
  stream.end();
});

t.test("other organisations' hosts and deleted ones never match", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  await insertOrganisation(service.store.db, { name: "Other", slug: "other" });
  const own = await service.createToken({ organisationSlug: "test" });
  const other = await service.createToken({ organisationSlug: "other" });
  const web = machine("web-01", "192.0.2.10");
  const first = await enrol(service, own, web);
  await comeAndGo(service, first, ["192.0.2.10"]);
  t.match(await registerMachine(service, other, web), { status: "active" });
  await query("update hosts set deleted_at = now() where agent_id = $1", [first.agentId]);
  const anew = await registerMachine(service, own, web);
  t.equal(anew.status, "active");
  t.not(anew.agentId, first.agentId);
});

t.test("several that match: a live one decides, of those that are gone none", async (t) => {
  const service = await strictService();
  const token = await service.createToken();
  const one = await enrol(service, token, machine("web-01", "192.0.2.1"));
  await enrol(service, token, machine("web-02", "192.0.2.2"));
  const both = machine("web-02", "192.0.2.1");
  await passTime(service);
  await t.rejects(registerMachine(service, token, both), {
    code: Code.ALREADY_EXISTS,
    details: /several hosts .*host web-0[12] .*host web-0[12] /,
  });
  const stream = await openLiveStream(service, one);
  await t.rejects(registerMachine(service, token, machine("web-02", "192.0.2.10")), {
    code: Code.ALREADY_EXISTS,
    details: /host web-01 \([a-z0-9]+; same address 192\.0\.2\.10\), which is online/,
  });
  stream.end();
});

t.test("a host without an agent is given one, also when that agent was deleted", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken();
  const first = await enrol(service, token, machine("web-01"));
  await query("update hosts set agent_id = null");
  const second = await registerMachine(service, token, machine("web-01"));
  t.equal(second.status, "pending");
  t.not(second.agentId, first.agentId);
  await query("update agents set deleted_at = now()");
  const third = await registerMachine(service, token, machine("web-01"));
  t.match(await query("select agent_id from hosts"), [{ agent_id: third.agentId }]);

  const [returned] = await query("select public_key from agents where id = $1", [second.agentId]);
  t.ok(returned);
});

t.test("one key at the same moment with two descriptions of its machine is one agent", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken();
  for (let round = 1; round <= 5; round++) {
    await enrol(service, token, machine(`gone-${round}`));
    await passTime(service);
    const key = createTestKey();
    const replies = await Promise.all(
      ["new", "gone", "new", "gone"].map((name) => registerMachine(service, token, machine(`${name}-${round}`), key)),
    );
    t.equal(new Set(replies.map(({ agentId }) => agentId)).size, 1);
    t.equal((await query("select from agents where public_key = $1", [key.rawPem])).length, 1);
  }
});

t.test("of very many hosts that match no more are read than it takes to refuse, and one that is online", async (t) => {
  const service = await strictService();
  const token = await service.createToken();
  const [{ id: organisationId } = { id: "" }] = await service.database.query("select id from organisations");
  await service.database.query(
    `insert into hosts (id, organisation_id, hostname, status, ip_addresses)
     select 'h' || i, $1, 'host-' || i, case i when 3000 then 'online' else 'offline' end, '["192.0.2.10"]'
     from generate_series(1, 3000) i`,
    [organisationId],
  );
  await t.rejects(registerMachine(service, token, machine("new", "192.0.2.10")), {
    code: Code.ALREADY_EXISTS,
    details: /host-3000 \(h3000; same address 192\.0\.2\.10\), which is online/,
  });
  const shared = { organisationId, hostname: undefined, addresses: ["192.0.2.10"] };
  t.equal((await findMatchingHosts(service.store.db, [shared], (addresses) => addresses))[0]?.length, 100);
});

t.test("machines that register together are looked for together: no table is searched once for each", async (t) => {
  const service = await sharedService();
  const [{ id: organisationId } = { id: "" }] = await service.database.query("select id from organisations");
  const machines = Array.from({ length: 20 }, (_, index) => ({
    organisationId,
    hostname: `rolled-out-${index}`,
    addresses: [`198.51.100.${index}`],
  }));
  const statements = await recordStatements(() => findMatchingHosts(service.store.db, machines, () => []));
  t.equal(statements.length, 1, "and that they match nothing is all that is asked");
  const [{ text, values } = { text: "", values: [] }] = statements;
  const [row] = await service.database.query(`explain (analyze, format json) ${text}`, values);
  const loops = JSON.stringify(row?.["QUERY PLAN"]).matchAll(/"Relation Name":"(\w+)".*?"Actual Loops":(\d+)/g);
  const searched = [...loops].map(([, table, times]) => ({ table, once: Number(times) <= 1 }));
  t.ok(searched.some(({ table }) => table === "hosts"));
  t.same(
    searched.filter(({ once }) => !once),
    [],
  );
});

t.test("fifty keys of one machine at once on two instances end with one host", async (t) => {
  const service = await strictService();
  const second = await startTestService(t, { of: service, env: { ...STRICT, ...UNLIMITED } });
  const { query } = service.database;
  const token = await service.createToken();
  for (const [name, of] of Object.entries({
    hostname: () => machine("web-01"),
    address: (index: number) => machine(`db-${index}`, "192.0.2.10", `198.51.100.${index}`),
    "very many addresses": (index: number) =>
      machine(`app-${index}`, "192.0.2.11", ...Array.from({ length: 40 }, (_, n) => `10.1.${index}.${n}`)),
  })) {
    const halves = [service, second].map(async (instance, half) => {
      const requests = Array.from({ length: 25 }, (_, n) => registration(createTestKey(), token, of(2 * n + half)));
      return registerAll(instance, await Promise.all(requests));
    });
    const settled = (await Promise.all(halves)).flat();
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
    Array.from({ length: 20 }, (_, index) => registerMachine(index % 2 ? service : second, token, machine("web-01"))),
  );
  t.equal(claims.filter(({ status }) => status === "fulfilled").length, 1, "one claim stands");
  t.equal((await query("select from hosts")).length, 3);
});

t.test("hostnames are the same whatever their case, the database's locale, or a dot at the end", async (t) => {
  const database = await createEmptyDatabase(t, "C");
  await migrateStandalone(database.url);
  const store = openDatabase({ url: database.url, maxConnections: 1 });
  t.teardown(() => store.close());
  await database.query("insert into organisations (id, name, slug) values ('o', 'o', 'o')");
  for (const [stored, registers] of [
    ["kühlhaus-01", "KÜHLHAUS-01"],
    ["KÜHLHAUS-02", "kühlhaus-02"],
    ["СЕРВЕР", "сервер"],
    ["Ökobüro", "ÖKOBÜRO"],
    ["MÜnchen-ÖsT", "münchen-öst"],
    ["Сервер-02", "СЕРВЕР-02"],
    ["web-01.example.org.", "WEB-01.example.org"],
    ["Web-02", "wEB-02"],
  ] as const) {
    await database.query("insert into hosts (id, organisation_id, hostname) values ($1, 'o', $1)", [stored]);
    const machine = { organisationId: "o", hostname: registers, addresses: [] };
    const [found = []] = await findMatchingHosts(store.db, [machine], (addresses) => addresses);
    t.match(found, [{ hostId: stored, hostnameMatches: true }], registers);
  }
  await database.query(`
    insert into agents (id, organisation_id, hostname, public_key, status)
    select id, 'o', hostname, id, 'offline' from hosts`);
  for (const [glob, found] of [
    ["öko*", ["Ökobüro"]],
    ["*HLHAUS-0?", ["KÜHLHAUS-02", "kühlhaus-01"]],
    ["KÜHL*", ["KÜHLHAUS-02", "kühlhaus-01"]],
    ["web.01*", []],
    ["(web|x)", []],
  ] as const) {
    t.same(
      (await listAgents(store.db, { hostname: glob })).map(({ hostname }) => hostname),
      found,
      glob,
    );
  }
  await database.query(`
    insert into agent_queries (id, organisation_id, host_id, query_type, status, expires_at)
    values ('q', 'o', 'Ökobüro', 'list_ports', 'pending', now() + interval '1 day')`);
  t.match(await listOpenItems(store.db, { hostname: "ökoBÜRO", limit: 1 }), [{ hostname: "Ökobüro" }]);
  const another = { organisationId: "o", hostname: "kuhlhaus-01", addresses: [] };
  t.same(await findMatchingHosts(store.db, [another], (addresses) => addresses), [[]]);
});
