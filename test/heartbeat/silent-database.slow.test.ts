import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { enrol, heartbeat, openLiveStream } from "../support/agents/field-agent.js";
import { connectTo, createTestDatabase, untilLockedOut } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { startTestService } from "../support/service.js";
import { startTcpProxy } from "../support/wire/tcp-proxy.js";

const UNHEALTHY_WITHIN_MS = 5_000;
/** Looks that take their time on a busy machine. */
const MARGIN_MS = 1_500;

t.test(
  "the database's host loses power, in the middle of a flush: everybody goes on when it answers again",
  async (t) => {
    const database = await createTestDatabase(t);
    const proxy = await startTcpProxy(t, Number(new URL(database.url).port));
    const service = await startTestService(t, {
      on: database,
      env: { DATABASE_URL: proxy.through(database.url) },
      timing: { streamDatabase: { idleInTransactionTimeoutMs: 3_000 } },
    });
    const token = await service.createToken();
    const [inFlight, waiting, revoked] = await Promise.all([1, 2, 3].map(() => enrol(service, token)));
    if (!inFlight || !waiting || !revoked) throw new Error("not enrolled");
    const streams = await Promise.all([inFlight, waiting, revoked].map((agent) => openLiveStream(service, agent)));
    const [stream, otherStream, revokedStream] = streams;
    if (!stream || !otherStream || !revokedStream) throw new Error("not open");

    // The flush has locked its host and waits at its insert; its server will never hear of the commit.
    const holder = await connectTo(t, database.url);
    await holder.query("begin; lock table host_metrics in exclusive mode");
    stream.send(heartbeat(inFlight.agentId, { cpuPercent: 41 }));
    const answer = stream.next();
    await untilLockedOut(database);
    proxy.losePower();
    const silentAt = performance.now();
    await holder.query("commit");
    otherStream.send(heartbeat(waiting.agentId, { cpuPercent: 42 }));
    const otherAnswer = otherStream.next();

    const healthz = async () => {
      const response = await fetch(`http://localhost:${service.httpPort}/healthz`);
      return { status: response.status, body: await response.text() };
    };
    const problem = await eventually(healthz, ({ status }) => status === 503);
    t.ok(performance.now() - silentAt < UNHEALTHY_WITHIN_MS + MARGIN_MS, "/healthz says so within five seconds");
    t.match(
      problem.body,
      /^the database has not answered for \d s: no connection to the database at .*: no answer for \d s$/,
    );

    proxy.resume();
    const backAt = performance.now();
    t.match(await otherAnswer, { ok: true }, "who came after does not wait for the flush that hangs");
    t.ok(performance.now() - backAt < UNHEALTHY_WITHIN_MS, `but ${Math.round(performance.now() - backAt)} ms`);
    await eventually(healthz, ({ status }) => status === 200);
    t.ok(performance.now() - backAt < UNHEALTHY_WITHIN_MS);

    // Nobody notifies: the look that the service takes by itself finds it.
    await database.query("set session_replication_role = replica");
    await database.query("update agents set status = 'revoked' where id = $1", [revoked.agentId]);
    t.match(await revokedStream.ended, { code: Code.PERMISSION_DENIED });

    t.match(await answer, { ok: true }, "the flush that hung is written, once the server gave its locks back");
    t.match(
      await database.query(
        "select count(*)::int as n, max(cpu_percent) as cpu from host_metrics where cpu_percent > 40",
      ),
      [{ n: 2, cpu: 42 }],
      "and written once",
    );
  },
);

t.test("a flush that nobody answers fails by itself, and is written on another connection", async (t) => {
  const database = await createTestDatabase(t);
  const proxy = await startTcpProxy(t, Number(new URL(database.url).port));
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, {
    on: database,
    env: { DATABASE_URL: proxy.through(database.url) },
    timing: { streamDatabase: { statementTimeoutMs: 200, connectTimeoutMs: 1_000 } },
    logger,
  });
  const agent = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, agent);
  proxy.losePower();
  stream.send(heartbeat(agent.agentId, { cpuPercent: 41 }));
  const answer = stream.next();
  const retries = () => lines.filter(({ msg }) => msg === "database write failed, trying again");
  await eventually(
    async () => retries(),
    ({ length }) => length > 0,
  );
  t.match(retries()[0], { err: { message: /no answer for \d s/ } });
  proxy.resume();
  t.match(await answer, { ok: true });
});
