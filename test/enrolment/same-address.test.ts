import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { approveAgentAs } from "../../dist/enrolment/operators/take-over.js";
import {
  createTestKey,
  enrol,
  openLiveStream,
  openStream,
  register,
  registration,
} from "../support/agents/field-agent.js";
import { comeAndGo, identityOf, machine, passTime, registerMachine } from "../support/agents/machines.js";
import { runCommand } from "../support/commands/cli.js";
import { createTestLog } from "../support/log.js";
import { startTestService, type TestService } from "../support/service.js";
import { shareTestService, UNLIMITED } from "../support/shared-service.js";

/** All that is stored of a host that is there, and of its agent. */
async function snapshot({ database }: TestService, agentId: string): Promise<unknown> {
  return [
    await database.query("select * from agents where id = $1", [agentId]),
    await database.query("select * from hosts where agent_id = $1", [agentId]),
    await database.query("select * from agent_status_history where agent_id = $1 order by id", [agentId]),
  ];
}

const sharedService = shareTestService(t);

t.test(
  "a machine of another name with the address of a host is a host of its own, which an operator decides about",
  async (t) => {
    const service = await sharedService();
    const { query } = service.database;
    const token = await service.createToken();
    const web = await enrol(service, token, machine("web-01", "192.0.2.10"));
    const stream = await openLiveStream(service, web);
    const before = await snapshot(service, web.agentId);

    const key = createTestKey();
    const reply = await registerMachine(service, token, machine("db-01", "198.51.100.1", "192.0.2.10"), key);
    t.match(reply, { status: "pending" });
    t.not(reply.agentId, web.agentId);
    const [host] = await query("select id from hosts where agent_id = $1", [web.agentId]);
    const remark = new RegExp(
      `same address 192\\.0\\.2\\.10 as host web-01 \\(${host?.id}, since \\d{4}-\\d\\d-\\d\\d\\)`,
    );
    const [line] = await query("select status, reason from agent_status_history where agent_id = $1", [reply.agentId]);
    t.match(line, { status: "pending", reason: remark });
    const run = (...args: string[]) => runCommand(service.env, ["agent", ...args]);
    t.match((await run("list")).output, /^ID .* NOTE\n.*db-01 +pending .* same address as web-01\n.*web-01 +active /);
    t.match(JSON.parse((await run("list", "--json")).output), [
      { hostname: "db-01", sameAddressAs: [{ hostId: host?.id, hostname: "web-01", addresses: ["192.0.2.10"] }] },
      { hostname: "web-01", sameAddressAs: [] },
    ]);
    t.match((await run("show", reply.agentId)).output, remark);
    const preview = await run("approve", reply.agentId, "--dry-run");
    t.match(preview, { exitCode: 0, output: /^would approve .* \(db-01\)\n/ });
    t.match(preview.output, remark);
    t.match(await registerMachine(service, "", machine("db-01", "192.0.2.10"), key), { status: "pending" });

    t.match(await run("approve", reply.agentId, web.agentId, "--as", "web-01"), { exitCode: 1, errors: /one agent/ });
    t.match(await run("approve", reply.agentId, "--as", "other"), { exitCode: 1, errors: /but with web-01 \(/ });
    t.match(await run("approve", reply.agentId, "--as", "web-01"), {
      exitCode: 1,
      errors: /web-01 .* is online; if that/,
    });
    t.match(await run("approve", web.agentId, "--as", "web-01"), { exitCode: 1, errors: /is active and cannot be/ });
    const approved = await run("approve", reply.agentId);
    t.match(approved, { exitCode: 0, output: `approved ${reply.agentId} (db-01)`, errors: remark });
    t.match(await registerMachine(service, "", machine("db-01", "192.0.2.10"), key), {
      status: "active",
      agentId: reply.agentId,
    });
    t.same(await snapshot(service, web.agentId), before, "the other one is as it was");
    t.notMatch((await run("list")).output, /same address/);
    stream.end();
    await stream.ended;
  },
);

t.test("an operator lets a machine take over the host whose address it has, if that is not there", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken();
  const tags = [{ key: "role", value: "db" }];
  const web = await enrol(service, token, machine("web-01", "192.0.2.10"));
  await comeAndGo(service, web, ["192.0.2.10"]);
  await passTime(service);
  const [host] = await query("select id from hosts");
  const key = createTestKey();
  const of = { ...machine("web-02", "192.0.2.10"), tags };
  const reply = await registerMachine(service, token, of, key);
  t.match(reply, { status: "pending" });
  const result = await runCommand(service.env, ["agent", "approve", reply.agentId, "--as", host?.id]);
  t.match(result, { exitCode: 0, output: `(web-02, agent ${web.agentId} from now on)` });

  const answered = await registerMachine(service, "", of, key);
  t.match(answered, { status: "active", agentId: web.agentId });
  t.match(await query("select id, agent_id, hostname, ip_addresses from hosts where deleted_at is null"), [
    { id: host?.id, agent_id: web.agentId, hostname: "web-02", ip_addresses: null },
  ]);
  t.match(await query("select id from agents where deleted_at is null"), [{ id: web.agentId }]);
  t.match(await query("select t.key, t.value, r.resource_id from resource_tags r join tags t on t.id = r.tag_id"), [
    { key: "role", value: "db", resource_id: host?.id },
  ]);
  const history = await query(
    "select agent_id, status, reason from agent_status_history order by created_at desc limit 2",
  );
  t.match(
    history.find(({ agent_id }) => agent_id === web.agentId),
    { status: "active", reason: `approved by an operator as host web-01 (${host?.id})` },
  );
  const stream = await openLiveStream(service, identityOf(answered, key));
  const old = openStream(service, web);
  t.equal((await old.ended).code, Code.UNAUTHENTICATED, "the certificate of the key before");
  // Its key is a new one now, and its name another than that of the host that was its own.
  const returned = await register(service, await registration(web.key, token, machine("web-01", "192.0.2.10")));
  t.match(returned, { status: "pending" });
  t.not(returned.agentId, web.agentId);
  stream.end();
  await stream.ended;
});

t.test("a host without an agent goes over to the agent that waits", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken();
  await enrol(service, token, machine("web-01", "192.0.2.10"));
  await query(`update hosts set agent_id = null, ip_addresses = '["192.0.2.10"]'`);
  const key = createTestKey();
  const reply = await registerMachine(service, token, machine("web-02", "192.0.2.10"), key);
  await approveAgentAs(service.publishing, reply.agentId, "web-01");
  t.match(await query("select agent_id, hostname from hosts where deleted_at is null"), [
    { agent_id: reply.agentId, hostname: "web-02" },
  ]);
  t.match(await registerMachine(service, "", machine("web-02"), key), { status: "active", agentId: reply.agentId });
});

t.test("of a host that reports very many addresses the first 32 count", async (t) => {
  const service = await sharedService();
  const token = await service.createToken();
  const hostile = await enrol(service, token, machine("hostile"));
  const addresses = Array.from({ length: 64 }, (_, n) => `10.9.0.${n}`);
  await comeAndGo(service, hostile, ["127.0.0.1", ...addresses.slice(0, 63)]);
  const status = async (address: string) =>
    (await registerMachine(service, token, machine(`of-${address}`, address))).status;
  t.equal(await status("10.9.0.31"), "pending");
  t.equal(await status("10.9.0.32"), "active");
  await service.database.query("update hosts set ip_addresses = $1 where agent_id = $2", [
    JSON.stringify(["10.9.1.1", ...Array.from({ length: 32_768 }, (_, n) => `10.10.${n >> 8}.${n & 255}`)]),
    hostile.agentId,
  ]);
  t.equal(await status("10.9.1.1"), "pending");
  t.equal(await status("10.10.100.1"), "active");
});

t.test("machines of one address on two instances at once: one is new, the others wait, none is refused", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { env: UNLIMITED, logger });
  const second = await startTestService(t, { of: service, env: UNLIMITED, logger });
  const token = await service.createToken();
  const replies = await Promise.all(
    Array.from({ length: 30 }, (_, n) =>
      registerMachine(n % 2 ? service : second, token, machine(`web-${n}`, "192.0.2.10", `198.51.100.${n}`)),
    ),
  );
  t.equal(replies.filter(({ status }) => status === "active").length, 1);
  t.equal(replies.filter(({ status }) => status === "pending").length, 29);
  t.equal((await service.database.query("select from hosts")).length, 30);
  t.notOk(lines.some((line) => JSON.stringify(line).includes("deadlock")));
});

t.test("of several that want one host at once, by approval and by adoption, one gets it", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken();
  for (let round = 1; round <= 5; round++) {
    const address = `192.0.2.${round}`;
    const gone = await enrol(service, token, machine(`gone-${round}`, address));
    await passTime(service);
    const waiting = await Promise.all(
      [1, 2].map((n) => registerMachine(service, token, machine(`new-${round}-${n}`, address))),
    );
    await passTime(service);
    const approvals = waiting.map(({ agentId }) => approveAgentAs(service.publishing, agentId, `gone-${round}`));
    const adoption = registerMachine(service, token, machine(`gone-${round}`));
    const [settled, [adopter]] = await Promise.all([Promise.allSettled(approvals), Promise.allSettled([adoption])]);
    const taken = settled.filter((result) => result.status === "fulfilled").length;
    const adopted = adopter?.status === "fulfilled" && adopter.value.agentId === gone.agentId;
    t.equal(
      taken + (adopted ? 1 : 0),
      1,
      settled.map((result) => (result.status === "rejected" ? result.reason.message : "ok")).join("; "),
    );
    t.equal((await query("select from hosts where agent_id = $1 and deleted_at is null", [gone.agentId])).length, 1);
  }
});
