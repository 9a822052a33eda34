import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { sql } from "drizzle-orm";
import { openDatabase } from "../../dist/store/database.js";
import { cpuMsOfFamily } from "./cpu-time.js";
import { startLoad, type Turn, takeTurn } from "./load-process.js";
import { type ServiceProcess, startServer, startService } from "./service-process.js";
import { enrolAll, type Stage } from "./stage.js";

/** How a service is started that takes part. */
export interface Variant {
  env?: Record<string, string>;
  /** Loaded into the service before it starts. */
  module?: string;
  /** Stands in the place of the service. */
  server?: string;
}

/** One turn, with what PostgreSQL did in it. */
export interface Figures extends Turn {
  /** Processor time of PostgreSQL for a heartbeat, in milliseconds. */
  postgresMs: number;
  /** Of both. */
  totalMs: number;
  /** Transactions that PostgreSQL committed in a second. */
  commits: number;
  /** The p99 of the delay of the service's event loop, in milliseconds; NaN where nobody tells. */
  loopMs: number;
}

const WARM_UP_MS = 3_000;
const EVENT_LOOP_DELAY = /^\S*eventloop_lag_p99_seconds\S* (\S+)$/m;

const fileOf = (variant: string) => fileURLToPath(new URL(`../variants/${variant}.js`, import.meta.url));

/** A service with agents of its own, whose streams are open. */
export class Contender {
  private constructor(
    private readonly stage: Stage,
    private readonly service: ServiceProcess,
    private readonly load: ChildProcess,
  ) {}

  /** Starts it, and has its agents send as fast as they can for a while: what is measured is a service that has run. */
  static async enter(
    stage: Stage,
    { name, agents, variant }: { name: string; agents: number; variant: Variant },
  ): Promise<Contender> {
    const env = { ...stage.env, INGEST_COMMIT_DELAY: "0", ...variant.env };
    // Agents enrol with a service, whatever they are to talk to.
    const registrar = await startService(stage.env);
    const prefix = `bench-${name.replaceAll(/[^a-z0-9]+/g, "-")}`;
    const identities = await enrolAll(registrar, { token: stage.token, prefix, count: agents });
    await registrar.stop();
    const modules = ["unpaced", variant.module].filter((module) => module !== undefined);
    const service =
      variant.server === undefined
        ? await startService(
            env,
            modules.flatMap((module) => ["--import", fileOf(module)]),
          )
        : await startServer(env, [fileOf(variant.server)]);
    const load = await startLoad(stage.directory, service, identities);
    await takeTurn(service, load, WARM_UP_MS);
    return new Contender(stage, service, load);
  }

  /**
   * Has its agents send for so long.
   *
   * @param everyMs how often each sends; as soon as it was acknowledged unless given
   */
  async takeTurn(seconds: number, everyMs: number | undefined): Promise<Figures> {
    const { postgresPid } = this.stage;
    await this.#loopMs();
    const before = { cpu: await cpuMsOfFamily(postgresPid), commits: await this.#commits(), at: performance.now() };
    const turn = await takeTurn(this.service, this.load, seconds * 1_000, everyMs);
    const elapsedMs = performance.now() - before.at;
    // The moment that is not measured counts for PostgreSQL: it is divided by what was sent in it as well.
    const heartbeats = (turn.rate * elapsedMs) / 1_000;
    const postgresMs = ((await cpuMsOfFamily(postgresPid)) - before.cpu) / heartbeats;
    const commits = (((await this.#commits()) - before.commits) * 1_000) / elapsedMs;
    return { ...turn, postgresMs, totalMs: turn.serviceMs + postgresMs, commits, loopMs: await this.#loopMs() };
  }

  async leave(): Promise<void> {
    this.load.disconnect();
    await this.service.stop();
  }

  /** Since it was asked for last. */
  async #loopMs(): Promise<number> {
    const { httpPort } = this.service;
    if (httpPort === undefined) return Number.NaN;
    const metrics = await (await fetch(`http://localhost:${httpPort}/metrics`)).text();
    return Number(EVENT_LOOP_DELAY.exec(metrics)?.[1] ?? Number.NaN) * 1_000;
  }

  async #commits(): Promise<number> {
    const database = openDatabase({ url: this.stage.databaseUrl, maxConnections: 1 });
    const { rows } = await database.db.execute<{ count: string }>(
      sql`select xact_commit as count from pg_stat_database where datname = current_database()`,
    );
    await database.close();
    return Number(rows[0]?.count);
  }
}
