/**
 * Measures how long a task takes from the commit that makes it to the socket of its agent: agents over two instances, and
 * one run over all of them. bench/README.md has the circumstances, docs/performance.md the figures.
 *
 * Both instances, PostgreSQL (fsync on) and this process, which holds the agents, share the machine.
 */
import { availableParallelism, loadavg } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { sql } from "drizzle-orm";
import { type AgentIdentity, type HeartbeatStream, openHeartbeatStream } from "../dist/agent/index.js";
import { createId } from "../dist/lib/ids.js";
import { type Database, openDatabase } from "../dist/store/database.js";
import { quantile } from "./support/figures.js";
import { type ServiceProcess, startService } from "./support/service-process.js";
import { enrolAll, onStage, type Stage } from "./support/stage.js";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "2000" },
    "max-parallel": { type: "string", default: "50" },
  },
});
const agents = Number(values.agents);
const maxParallel = Number(values["max-parallel"]);
/** What a task takes at its agent. */
const WORK_MS = 50;
const SAMPLE_EVERY_MS = 50;
const OPENINGS_AT_ONCE = 32;
const LONGEST_MS = 300_000;

async function measure({ env, token, databaseUrl }: Stage): Promise<void> {
  const instances = [await startService(env), await startService(env)];
  const database = openDatabase({ url: databaseUrl, maxConnections: 2 });
  const fleet = new WorkingFleet();
  try {
    const identities = await enrolAll(instances[0] as ServiceProcess, { token, prefix: "bench", count: agents });
    await fleet.open(identities, instances);
    console.log(`cores ${availableParallelism()}, node ${process.version}, ${agents} agents on two instances`);
    await report("all at once", { database, fleet, maxParallel: 0 });
    await report(`max_parallel ${maxParallel}`, { database, fleet, maxParallel });
  } finally {
    fleet.close();
    await database.close();
    for (const instance of instances) await instance.stop();
  }
}

/** One run over all hosts, until each of its tasks has succeeded. */
async function report(
  name: string,
  { database, fleet, maxParallel }: { database: Database; fleet: WorkingFleet; maxParallel: number },
): Promise<void> {
  const whole = fleet.expect(agents);
  await insertRun(database, maxParallel);
  const committedAt = performance.now();
  const counted = countRunning(database, committedAt);
  await whole;
  const waits = fleet.receivedAt.map((at) => at - committedAt);
  const { tookMs, mostRunning } = await counted;
  const [p50, p99, longest] = [0.5, 0.99, 1].map((share) => quantile(waits, share).toFixed(0));
  const load = loadavg().map((average) => average.toFixed(1));
  console.log(
    `${name}: commit to socket p50 ${p50} ms, p99 ${p99} ms, longest ${longest} ms; run over after ` +
      `${(tookMs / 1_000).toFixed(1)} s; tasks sent ${waits.length}, twice ${fleet.twice}, ` +
      `at agents at one time ${fleet.mostAtOnce}, running rows ${mostRunning}; ` +
      `load average ${load.join(" ")}`,
  );
  const most = Math.max(fleet.mostAtOnce, mostRunning);
  if (fleet.twice > 0 || (maxParallel > 0 && most > maxParallel)) process.exitCode = 1;
}

/** As the web app makes one: the run and its rows in one transaction. */
async function insertRun(database: Database, maxParallel: number): Promise<void> {
  const runId = createId();
  await database.db.execute(sql`
    with run as (
      insert into task_runs (id, organisation_id, target_type, target_id, task_type, config, max_parallel)
      select ${runId}, id, 'group', 'g', 'custom_script', '{"script": "true"}', ${maxParallel} from organisations
    )
    insert into task_run_hosts (id, organisation_id, task_run_id, host_id)
    select ${runId} || h.id, h.organisation_id, ${runId}, h.id from hosts h`);
}

/** Looks every now and then how many rows run, until no run is open. */
async function countRunning(database: Database, since: number): Promise<{ tookMs: number; mostRunning: number }> {
  let mostRunning = 0;
  for (;;) {
    const { rows } = await database.db.execute<{ running: number; open: number }>(sql`
      select (select count(*)::int from task_run_hosts where status = 'running') as running,
             (select count(*)::int from task_runs where status <> 'completed') as open`);
    const [row] = rows;
    mostRunning = Math.max(mostRunning, row?.running ?? 0);
    if (row?.open === 0) return { tookMs: performance.now() - since, mostRunning };
    if (performance.now() - since > LONGEST_MS) throw new Error("the run is still open");
    await delay(SAMPLE_EVERY_MS);
  }
}

/** Agents that work on each task for a moment, and succeed. */
class WorkingFleet {
  receivedAt: number[] = [];
  twice = 0;
  mostAtOnce = 0;
  readonly #streams: HeartbeatStream[] = [];
  #atOnce = 0;
  #ids = new Set<string>();
  #onTask: () => void = () => {};

  /** Every second agent is on the second instance. */
  async open(identities: readonly AgentIdentity[], instances: readonly ServiceProcess[]): Promise<void> {
    let next = 0;
    const lanes = Array.from({ length: OPENINGS_AT_ONCE }, async () => {
      for (let index = next++; index < identities.length; index = next++) {
        await this.#openOne(identities[index] as AgentIdentity, instances[index % 2] as ServiceProcess);
      }
    });
    await Promise.all(lanes);
  }

  /** Resolves when so many tasks have come. */
  expect(count: number): Promise<void> {
    this.receivedAt = [];
    this.twice = 0;
    this.mostAtOnce = 0;
    this.#ids = new Set();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${this.receivedAt.length} of ${count} tasks came in ${LONGEST_MS} ms`)),
        LONGEST_MS,
      );
      this.#onTask = () => {
        if (this.receivedAt.length < count) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  close(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  async #openOne(identity: AgentIdentity, { port, ca }: ServiceProcess): Promise<void> {
    const address = { address: `localhost:${port}`, ca, connectTimeoutMs: 120_000 };
    const stream: HeartbeatStream = openHeartbeatStream(address, identity, {
      onPush: ({ pendingTask }) => {
        if (pendingTask !== undefined) void this.#answer(stream, pendingTask.taskId);
      },
    });
    this.#streams.push(stream);
    await stream.send({ cpuPercent: 1, uptimeSeconds: 1n });
  }

  async #answer(stream: HeartbeatStream, taskId: string): Promise<void> {
    this.receivedAt.push(performance.now());
    if (this.#ids.has(taskId)) this.twice += 1;
    this.#ids.add(taskId);
    this.#atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce);
    await delay(WORK_MS);
    // From here on the service may store the result, and send another task.
    this.#atOnce -= 1;
    this.#onTask();
    await stream.send({ cpuPercent: 1, uptimeSeconds: 1n, taskResults: [{ taskId, exitCode: 0 }] });
  }
}

await onStage(measure);
