import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { sql } from "drizzle-orm";
import { type AgentIdentity, type HeartbeatStream, openHeartbeatStream } from "../../dist/agent/index.js";
import { openDatabase } from "../../dist/store/database.js";
import type { ServiceProcess } from "./service-process.js";

const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
/** A stream that lived so long ends the waiting of its agent. */
const GOOD_STREAM_MS = 10_000;
/** These make a released agent throw its identity away. */
const COSTLY: readonly Code[] = [Code.Unauthenticated, Code.NotFound, Code.PermissionDenied];

/** Agents that send a heartbeat in each interval, and come back after 1, 2, 4 … 60 s, as released agents do. */
export class Fleet {
  readonly #agents: FleetAgent[];

  constructor(identities: readonly AgentIdentity[], instances: () => readonly ServiceProcess[], intervalMs: number) {
    this.#agents = identities.map((identity, index) => new FleetAgent(identity, instances, intervalMs, index));
  }

  start(): void {
    for (const agent of this.#agents) agent.start();
  }

  /** Has half of the agents open a stream on the other instance, while the one they have is up. */
  moveHalf(): void {
    this.#agents.forEach((agent, index) => {
      if (index % 2 === 0) agent.move();
    });
  }

  /** Resolves when every agent has had a heartbeat acknowledged that it sent after this. */
  async allHeard(): Promise<void> {
    const since = performance.now();
    const isHeard = (agent: FleetAgent) => agent.isSilenced || agent.acknowledgedAt > since;
    while (!this.#agents.every(isHeard)) await delay(100);
  }

  /** Lets some agents say no more, with their connections as they are; returns their ids. */
  silence(count: number): string[] {
    return this.#agents.slice(0, count).map((agent) => agent.silence());
  }

  async stop(): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.stop()));
  }

  /** Compares what agents were told with what the database has. */
  async audit(databaseUrl: string, silenced: readonly string[]) {
    const acknowledged = this.#agents.flatMap((agent) => [...agent.acknowledged].map((mark) => `${agent.id} ${mark}`));
    const database = openDatabase({ url: databaseUrl, maxConnections: 1 });
    const { rows } = await database.db.execute<{ agent_id: string; mark: number; n: number }>(sql`
      select h.agent_id, m.uptime_seconds as mark, count(*)::int as n
      from host_metrics m join hosts h on h.id = m.host_id group by 1, 2`);
    const { rows: offline } = await database.db.execute<{ agent_id: string }>(
      sql`select distinct agent_id from agent_status_history where status = 'offline'`,
    );
    const { rows: online } = await database.db.execute<{ agent_id: string }>(
      sql`select id as agent_id from agents where status = 'active'`,
    );
    await database.close();
    const stored = new Map(rows.map(({ agent_id, mark, n }) => [`${agent_id} ${mark}`, n]));
    return {
      acknowledged: acknowledged.length,
      notOnce:
        acknowledged.filter((key) => stored.get(key) !== 1).length + [...stored.values()].filter((n) => n > 1).length,
      wronglyOffline: offline.filter(({ agent_id }) => !silenced.includes(agent_id)).length,
      wronglyOnline: online.filter(({ agent_id }) => silenced.includes(agent_id)).length,
      lostIdentities: this.#agents.filter((agent) => agent.hasLostIdentity).length,
    };
  }
}

class FleetAgent {
  readonly acknowledged = new Set<number>();
  acknowledgedAt = Number.NEGATIVE_INFINITY;
  isSilenced = false;
  hasLostIdentity = false;
  #mark = 0;
  #stream: HeartbeatStream | undefined;
  #running: Promise<void> | undefined;
  #isStopped = false;
  #isMoving = false;

  constructor(
    private readonly identity: AgentIdentity,
    private readonly instances: () => readonly ServiceProcess[],
    private readonly intervalMs: number,
    private home: number,
  ) {}

  get id(): string {
    return this.identity.agentId;
  }

  start(): void {
    this.#running = this.#run();
  }

  move(): void {
    this.#isMoving = true;
  }

  silence(): string {
    this.isSilenced = true;
    return this.id;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#stream?.end();
    await this.#running;
  }

  get #isDone(): boolean {
    return this.#isStopped || this.isSilenced;
  }

  async #run(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (!this.#isDone) {
      const startedAt = performance.now();
      try {
        await this.#hold();
      } catch (error) {
        if (COSTLY.includes(ConnectError.from(error).code)) this.hasLostIdentity = true;
      }
      if (performance.now() - startedAt > GOOD_STREAM_MS) retryMs = FIRST_RETRY_MS;
      if (this.#isMoving) {
        this.#isMoving = false;
        continue;
      }
      if (!this.#isDone) await delay(retryMs);
      retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS);
    }
  }

  async #hold(): Promise<void> {
    const instances = this.instances();
    const instance = instances[this.home % instances.length] as ServiceProcess;
    // Whoever is not let in tries the other one, as behind a balancer.
    this.home += 1;
    const address = { address: `localhost:${instance.port}`, ca: instance.ca, connectTimeoutMs: 10_000 };
    const stream = openHeartbeatStream(address, this.identity);
    this.#stream = stream;
    while (!this.#isDone && !this.#isMoving) {
      this.#mark += 1;
      const mark = this.#mark;
      await stream.send({ cpuPercent: 1, uptimeSeconds: BigInt(mark) });
      this.acknowledged.add(mark);
      this.acknowledgedAt = performance.now();
      await Promise.race([delay(this.intervalMs), stream.closed]);
    }
  }
}
