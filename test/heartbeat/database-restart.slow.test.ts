import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { migrateStandalone } from "../../dist/store/migrations/migrate.js";
import { enrol, heartbeat, openStream } from "../support/agents/field-agent.js";
import { connectTo } from "../support/database/database.js";
import { PostgresServer } from "../support/database/postgres-server.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";

t.test(
  "PostgreSQL is stopped at once and started again under load: nothing acknowledged is lost, nobody is offline",
  async (t) => {
    const AGENTS = 20;
    const postgres = await PostgresServer.start(t);
    await migrateStandalone(postgres.url);
    const service = await startTestService(t, {
      on: { url: postgres.url, query: async () => [] },
      env: { INGEST_OFFLINE_GRACE: "1s" },
    });
    const token = await service.createToken();
    const agents = [];
    for (let i = 0; i < AGENTS; i += 1) agents.push(await enrol(service, token));
    let isOver = false;
    let acknowledged = 0;
    const marks: { agentId: string; mark: number }[] = [];
    const load = agents.map(async (agent) => {
      const stream = openStream(service, agent);
      for (let mark = 1; !isOver; mark += 1) {
        stream.send(heartbeat(mark === 1 ? agent.jwt : agent.agentId, { uptimeSeconds: mark }));
        t.match(await stream.next(), { ok: true });
        marks.push({ agentId: agent.agentId, mark });
        acknowledged += 1;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      stream.end();
      return stream.ended;
    });
    await eventually(
      async () => acknowledged,
      (count) => count > 5 * AGENTS,
    );
    await postgres.stop();
    const before = acknowledged;
    await postgres.start();
    await eventually(
      async () => acknowledged,
      (count) => count > before + 5 * AGENTS,
    );
    isOver = true;
    for (const { code } of await Promise.all(load)) t.equal(code, Code.OK, "every stream stayed open");

    const client = await connectTo(t, postgres.url);
    const { rows } = await client.query(
      `select h.agent_id, m.uptime_seconds as mark, count(*)::int as n
     from host_metrics m join hosts h on h.id = m.host_id group by 1, 2`,
    );
    const stored = new Map(rows.map(({ agent_id, mark, n }) => [`${agent_id} ${mark}`, n]));
    t.same(
      marks.filter(({ agentId, mark }) => stored.get(`${agentId} ${mark}`) !== 1),
      [],
      `each of ${marks.length} acknowledged heartbeats is stored exactly once`,
    );
    t.equal(stored.size, marks.length, "and no other one");
  },
);
