/**
 * Measures what the queue costs and bears: acknowledged heartbeats without a broker, with one, and with one that takes
 * nothing, in turns; how fast a backlog is confirmed; the service's memory while the broker is away and agents go on.
 * bench/README.md has the figures.
 *
 * The service, PostgreSQL (fsync on), a RabbitMQ and the load share the machine.
 */
import { randomUUID } from "node:crypto";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { toOutgoingMessage } from "../dist/broker/outgoing-message.js";
import { writeMessages } from "../dist/outbox/collected-messages.js";
import { type Database, openDatabase } from "../dist/store/database.js";
import { readBacklog } from "../dist/store/outbox/backlog.js";
import { findRabbitMq, type PrivateRabbitMq, startPrivateRabbitMq } from "../test-dist/support/broker/rabbitmq.js";
import { spread } from "./support/figures.js";
import { startLoad, type Turn, takeTurn } from "./support/load-process.js";
import { watchMemory } from "./support/memory.js";
import { type ServiceProcess, startService } from "./support/service-process.js";
import { enrolAll, onStage, type Stage } from "./support/stage.js";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "800" },
    turns: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    backlog: { type: "string", default: "200000" },
    "away-seconds": { type: "string", default: "60" },
  },
});
const [agents, turns, seconds] = [Number(values.agents), Number(values.turns), Number(values.seconds)];
const [backlog, awaySeconds] = [Number(values.backlog), Number(values["away-seconds"])];
/** As many as a transaction of heartbeats has under load. */
const MESSAGES_PER_ROW = 200;
const AWAY_STEPS = 6;
const POLL_MS = 100;

await onStage(async (stage) => {
  const server = await findRabbitMq();
  if (server === undefined) throw new Error("no rabbitmq-server (Debian: apt-get install rabbitmq-server)");
  const broker = await startPrivateRabbitMq(server, { directory: join(stage.directory, "broker") });
  try {
    const without = await startService(stage.env);
    const publishing = await startService({ ...stage.env, INGEST_AMQP_URL: broker.url });
    try {
      await measure(stage, broker, { without, publishing });
    } finally {
      await Promise.all([without.stop(), publishing.stop()]);
    }
  } finally {
    await broker.close();
  }
});

async function measure(
  { directory, databaseUrl, token }: Stage,
  broker: PrivateRabbitMq,
  { without, publishing }: { without: ServiceProcess; publishing: ServiceProcess },
): Promise<void> {
  console.log(
    `cores ${availableParallelism()}, node ${process.version}, ${agents} agents; load average ${loadavg()[0]?.toFixed(1)}`,
  );
  // Half of the agents each: an agent has one stream at a time, on whatever service.
  const identities = await enrolAll(without, { token, prefix: "queue", count: 2 * agents });
  const loads = {
    without: await startLoad(directory, without, identities.slice(0, agents)),
    publishing: await startLoad(directory, publishing, identities.slice(agents)),
  };
  const database = openDatabase({ url: databaseUrl, maxConnections: 1 });
  try {
    const turnsOf: Record<"without" | "publishing" | "blocked", Turn[]> = { without: [], publishing: [], blocked: [] };
    for (let turn = 0; turn < turns; turn++) {
      turnsOf.without.push(await takeTurn(without, loads.without, seconds * 1_000));
      turnsOf.publishing.push(await takeTurn(publishing, loads.publishing, seconds * 1_000));
      await untilPublished(database);
      await broker.control("set_vm_memory_high_watermark", "0");
      turnsOf.blocked.push(await takeTurn(publishing, loads.publishing, seconds * 1_000));
      await broker.control("set_vm_memory_high_watermark", "0.6");
      await untilPublished(database);
    }
    console.log(`${turns} turns of ${seconds} s, load average ${loadavg()[0]?.toFixed(1)}`);
    for (const [name, title] of [
      ["without", "without a broker"],
      ["publishing", "with a broker"],
      ["blocked", "with a broker that takes nothing"],
    ] as const) {
      const those = turnsOf[name];
      const ratios = those.map(({ rate }, turn) => rate / (turnsOf.without[turn]?.rate ?? 0));
      console.log(
        `${title}: ${spread(of(those, "rate"), 0)} heartbeats/s, ratio ${spread(ratios, 2)}; acknowledged ` +
          `p50 ${spread(of(those, "p50Ms"), 1)} ms, p99 ${spread(of(those, "p99Ms"), 1)} ms`,
      );
    }
    loads.without.disconnect();

    await leaveBacklog(database);
    const drainMs = await untilPublished(database);
    const perSecond = (backlog * 1_000) / drainMs;
    console.log(
      `a backlog of ${backlog} in ${(drainMs / 1_000).toFixed(1)} s: ${perSecond.toFixed(0)} confirmed a second`,
    );

    await broker.stop();
    const turn = takeTurn(publishing, loads.publishing, awaySeconds * 1_000);
    for (let step = 0; step < AWAY_STEPS; step++) {
      const endMemory = watchMemory(publishing.pid);
      await delay((awaySeconds * 1_000) / AWAY_STEPS);
      const { leastMb, mostMb } = endMemory();
      const waiting = await countWaiting(database);
      console.log(
        `broker away for ${((step + 1) * awaySeconds) / AWAY_STEPS} s: ${waiting} messages wait, ` +
          `rss ${leastMb.toFixed(0)} to ${mostMb.toFixed(0)} MB`,
      );
    }
    console.log(`${(await turn).rate.toFixed(0)} heartbeats/s meanwhile`);
    await broker.start();
    const backMs = await untilPublished(database);
    console.log(`published ${(backMs / 1_000).toFixed(1)} s after the broker was back`);
    console.log(`load average ${loadavg()[0]?.toFixed(1)}`);
  } finally {
    loads.publishing.disconnect();
    await database.close();
  }
}

function of(those: readonly Turn[], figure: keyof Turn): number[] {
  return those.map((turn) => turn[figure]);
}

/** Resolves when nothing waits for the broker; with how long that took, in milliseconds. */
async function untilPublished(database: Database): Promise<number> {
  const startedAt = performance.now();
  while ((await countWaiting(database)) > 0) await delay(POLL_MS);
  return performance.now() - startedAt;
}

async function countWaiting(database: Database): Promise<number> {
  return (await readBacklog(database.db)).reduce((sum, { messages }) => sum + messages, 0);
}

/** Leaves messages as an instance does that died before it published them. */
async function leaveBacklog(database: Database): Promise<void> {
  const message = (index: number) =>
    toOutgoingMessage("metrics.raw", {
      message_id: randomUUID(),
      agent_id: `agent-${index % agents}`,
      org_id: "organisation",
      host_id: `host-${index % agents}`,
      timestamp: 1_790_000_000,
      recorded_at: new Date().toISOString(),
      cpu: 1,
      memory: 40,
      disk: 50,
      uptime: 1_000 + index,
      agent_version: "v1.2.3",
      os_version: "Debian 12",
    });
  const sets = Array.from({ length: Math.ceil(backlog / MESSAGES_PER_ROW) }, () => ({
    topic: "metrics.raw" as const,
    messages: Array.from({ length: MESSAGES_PER_ROW }, (_, index) => message(index)),
  }));
  await database.transaction((tx) => writeMessages(tx, sets, () => 0));
}
