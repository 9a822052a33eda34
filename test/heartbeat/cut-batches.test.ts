import t from "tap";
import { enrol, heartbeat, openLiveStream } from "../support/agents/field-agent.js";
import { createTestDatabase, TEMPLATES } from "../support/database/database.js";
import { BROKER_AWAY, readOutbox } from "../support/database/outbox-messages.js";
import { startTestService } from "../support/service.js";
import { type Direction, startTcpProxy } from "../support/wire/tcp-proxy.js";

const CUTS: readonly [name: string, text: string, direction: Direction][] = [
  ["in the middle of its statements", "insert into host_metrics", "to server"],
  ["before it is committed", "commit", "to server"],
  ["when it is committed, and nobody hears of it", "COMMIT", "to client"],
];

t.test("a batch is cut off from the database: what is acknowledged is stored, and published, once", async (t) => {
  const AGENTS = 5;
  const database = await createTestDatabase(t, TEMPLATES.withAgentCa);
  const proxy = await startTcpProxy(t, Number(new URL(database.url).port));
  const env = { ...BROKER_AWAY, DATABASE_URL: proxy.through(database.url) };
  const service = await startTestService(t, { on: database, env });
  const token = await service.createToken();
  const agents = await Promise.all(Array.from({ length: AGENTS }, () => enrol(service, token)));
  const streams = await Promise.all(agents.map((agent) => openLiveStream(service, agent)));
  for (const [index, [name, text, direction]] of CUTS.entries()) {
    const mark = 1_000 + index;
    proxy.cutAt(text, direction);
    const answers = streams.map((stream, n) => {
      stream.send(heartbeat(agents[n]?.agentId ?? "", { uptimeSeconds: mark }));
      return stream.next();
    });
    for (const answer of await Promise.all(answers)) t.match(answer, { ok: true });
    t.match(
      await database.query(
        `select count(*)::int as n, count(distinct host_id)::int as hosts from host_metrics where uptime_seconds = ${mark}`,
      ),
      [{ n: AGENTS, hosts: AGENTS }],
      name,
    );
    const messages = (await readOutbox(database, "metrics.raw")).filter(({ uptime }) => uptime === mark);
    t.same(
      messages.map(({ message_id }) => message_id).sort(),
      (await database.query(`select id from host_metrics where uptime_seconds = ${mark}`)).map(({ id }) => id).sort(),
      "each is one message",
    );
  }
  for (const stream of streams) stream.end();
  await Promise.all(streams.map(({ ended }) => ended));
});
