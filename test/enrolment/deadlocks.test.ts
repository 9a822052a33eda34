import t from "tap";
import { createTestKey, register, registration } from "../support/agents/field-agent.js";
import { startTestService } from "../support/service.js";

const ROUNDS = 3;
const MACHINES = 10;

t.test("new machines and adoptions at once, over one token and two instances, never meet in a deadlock", async (t) => {
  const env = { INGEST_REGISTER_REFUSALS_PER_MINUTE: "0" };
  const service = await startTestService(t, { env });
  const second = await startTestService(t, { of: service, env });
  const { query } = service.database;
  const token = await service.createToken({ tags: [{ key: "env", value: "prod" }] });
  const machine = (name: string, address: string) =>
    registration(createTestKey(), token, {
      agentInfo: { hostname: name, version: "v1" },
      platformInfo: { os: "linux", arch: "amd64", ipAddresses: [address] },
    });
  const numbers = Array.from({ length: MACHINES }, (_, n) => n);
  for (let round = 0; round < ROUNDS; round++) {
    const old = (n: number) => machine(`old-${round}-${n}`, `10.1.${round}.${n}`);
    await Promise.all((await Promise.all(numbers.map(old))).map((request) => register(service, request)));
    await query("update ingest.agent_registrations set registered_at = registered_at - interval '91 s'");
    const requests = await Promise.all(
      numbers.flatMap((n) => [old(n), machine(`new-${round}-${n}`, `10.2.${round}.${n}`)]),
    );
    const replies = await Promise.all(
      requests.map((request, index) => register(index % 4 < 2 ? service : second, request)),
    );
    t.equal(replies.filter(({ status }) => status === "active").length, MACHINES, "the new ones");
    t.equal(replies.filter(({ status }) => status === "pending").length, MACHINES, "the re-imaged ones");
  }
  // What they counted is known when their connections have ended.
  await Promise.all([service.close(), second.close()]);
  t.same(await query("select deadlocks::int from pg_stat_database where datname = current_database()"), [
    { deadlocks: 0 },
  ]);
  t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 3 * MACHINES * ROUNDS }]);
});
