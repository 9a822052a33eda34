import { status as Code } from "@grpc/grpc-js";
import t, { type Test } from "tap";
import { enrol, heartbeat, openStream, type TestAddress, type TestIdentity } from "../support/agents/field-agent.js";
import { createTestDatabase, TEMPLATES } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";
import { startTcpProxy } from "../support/wire/tcp-proxy.js";

const AGENTS = 16;
const SILENCED = 4;
const INTERVAL_MS = 50;
/** An agent that hears nothing for so long takes its connection for dead; released ones wait for 40 seconds. */
const GIVE_UP_MS = 2_500;
/** Longer than any fault lasts, and than agents take to notice it and to come back. */
const OFFLINE_AFTER_S = 12;
const COSTLY: readonly number[] = [Code.NOT_FOUND, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED];

/** An agent that sends a heartbeat with the next number in each interval, and comes back to the next instance. */
class MarkingAgent {
  readonly acknowledged: number[] = [];
  readonly costly: number[] = [];
  isSilent = false;
  #mark = 0;
  #isStopped = false;
  readonly #running: Promise<void>;

  constructor(
    readonly identity: TestIdentity,
    private readonly instances: readonly TestAddress[],
    private home: number,
  ) {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const instance = this.instances[this.home % this.instances.length];
      if (instance !== undefined) await this.#hold(instance);
      this.home += 1;
      await pause(100);
    }
  }

  async #hold(instance: TestAddress): Promise<void> {
    const stream = openStream(instance, this.identity);
    for (let isFirst = true; !this.#isStopped; isFirst = false) {
      this.#mark += 1;
      const { jwt, agentId } = this.identity;
      stream.send(heartbeat(isFirst ? jwt : agentId, { uptimeSeconds: this.#mark }));
      const answer = stream.next().catch((error: { code: number }) => error.code);
      const outcome = await Promise.race([answer, pause(GIVE_UP_MS)]);
      if (typeof outcome === "number" && COSTLY.includes(outcome)) this.costly.push(outcome);
      if (typeof outcome !== "object") break;
      this.acknowledged.push(this.#mark);
      while (this.isSilent && !this.#isStopped) await pause(INTERVAL_MS);
      await pause(INTERVAL_MS);
    }
    if (this.#isStopped) stream.end();
    else stream.destroy();
    await stream.ended;
  }
}

t.test("whatever the network does, nothing acknowledged is lost and nobody is offline who speaks", async (t) => {
  const database = await createTestDatabase(t, TEMPLATES.withAgentCa);
  const { query } = database;
  const databaseNetwork = await startTcpProxy(t, Number(new URL(database.url).port));
  const timing = {
    streamDatabase: { statementTimeoutMs: 1_000, connectTimeoutMs: 1_000 },
    sessions: { renewMs: 200, silenceMs: 100, sweepMs: 200 },
  };
  const env = { INGEST_OFFLINE_AFTER: `${OFFLINE_AFTER_S}s`, INGEST_OFFLINE_GRACE: "6s" };
  const first = await startTestService(t, {
    on: database,
    env: { ...env, DATABASE_URL: databaseNetwork.through(database.url) },
    timing,
  });
  const second = await startTestService(t, { of: first, env, timing });
  const agentNetwork = await startTcpProxy(t, first.grpcPort);
  const instances = [{ ...first, address: `localhost:${agentNetwork.port}` }, second];
  const token = await first.createToken();
  const agents: MarkingAgent[] = [];
  for (let n = 0; n < AGENTS; n += 1) agents.push(new MarkingAgent(await enrol(first, token), instances, n));
  t.teardown(() => Promise.all(agents.map((agent) => agent.stop())));

  const allHeard = async (more = 5) => {
    const before = agents.map(({ acknowledged }) => acknowledged.length);
    await eventually(
      async () => agents.filter((agent, n) => !agent.isSilent && agent.acknowledged.length < (before[n] ?? 0) + more),
      ({ length }) => length === 0,
    );
  };
  const audit = async (t: Test) => {
    const acknowledged = agents.flatMap(({ identity, acknowledged }) =>
      acknowledged.map((mark) => `${identity.agentId} ${mark}`),
    );
    const rows = await query(`
      select h.agent_id || ' ' || m.uptime_seconds as mark, count(*)::int as n
      from host_metrics m join hosts h on h.id = m.host_id group by 1`);
    const stored = new Map(rows.map(({ mark, n }) => [mark, n]));
    t.same(
      acknowledged.filter((mark) => stored.get(mark) !== 1),
      [],
      `each of ${acknowledged.length} acknowledged is stored once`,
    );
    t.same(
      [...stored].filter(([, n]) => n > 1),
      [],
      "and no other one twice",
    );
    const silent = agents.filter(({ isSilent }) => isSilent).map(({ identity }) => identity.agentId);
    t.same(
      await query(
        "select agent_id, reason from agent_status_history where status = 'offline' and agent_id <> all ($1)",
        [silent],
      ),
      [],
      "nobody else was shown offline",
    );
    t.same(
      agents.flatMap(({ costly }) => costly),
      [],
      "no identity was lost",
    );
  };
  const FAULTS: readonly [name: string, begin: () => void, lastsMs: number, end: () => void][] = [
    ["agents stall both ways", () => agentNetwork.silence(), 1_500, agentNetwork.resume],
    ["agents are dropped without a word", () => agentNetwork.losePower(), 4_000, agentNetwork.resume],
    ["agents are reset", () => agentNetwork.cut(), 0, () => {}],
    ["the database stalls both ways", () => databaseNetwork.silence(), 2_000, databaseNetwork.resume],
    ["the database is dropped without a word", () => databaseNetwork.losePower(), 4_000, databaseNetwork.resume],
    ["the database's connections are reset", () => databaseNetwork.cut(), 0, () => {}],
  ];
  await allHeard();
  for (const [name, begin, lastsMs, end] of FAULTS) {
    await t.test(name, async (t) => {
      begin();
      const startedAt = performance.now();
      await pause(lastsMs);
      end();
      await allHeard();
      t.comment(`all heard again ${Math.round(performance.now() - startedAt)} ms after it began`);
      await audit(t);
    });
  }
  await t.test("and who falls silent is shown offline", async (t) => {
    for (const agent of agents.slice(0, SILENCED)) agent.isSilent = true;
    await eventually(
      () => query("select from agents where status = 'offline'"),
      ({ length }) => length === SILENCED,
    );
    await allHeard();
    await audit(t);
    t.match(await query("select count(*)::int as n from agents where status = 'active'"), [{ n: AGENTS - SILENCED }]);
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
