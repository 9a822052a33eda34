/**
 * Does to instances of the service what production does to them, while agents send heartbeats and come back as released
 * agents do, and counts afterwards: every acknowledged heartbeat is stored exactly once, nobody was shown offline whom
 * the scenario did not silence, whoever stopped is shown offline, nobody lost its identity. bench/README.md has what came
 * of it.
 *
 * The instances, PostgreSQL and this process, which holds the agents, share the machine.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type AgentIdentity, createAgentKey, enrol } from "../dist/agent/index.js";
import { writeDevTls } from "../dist/cli/dev/dev-tls.js";
import { startEmbeddedPostgres } from "../dist/cli/dev/embedded-postgres.js";
import { issueEnrolmentToken } from "../dist/enrolment/tokens/token-issue.js";
import { createClosedOutbox } from "../dist/outbox/outbox.js";
import { openDatabase } from "../dist/store/database.js";
import { insertOrganisation } from "../dist/store/enrolment/organisations.js";
import { migrateStandalone } from "../dist/store/migrations/migrate.js";
import { Fleet } from "./support/fleet.js";
import { type ServiceProcess, startService } from "./support/service-process.js";

const { values } = parseArgs({
  options: { agents: { type: "string", default: "500" }, "interval-ms": { type: "string", default: "1000" } },
});
const COUNT = Number(values.agents);
const INTERVAL_MS = Number(values["interval-ms"]);
const ENROLMENTS_AT_ONCE = 16;
/** What agents have for coming back, shorter than in production so that a scenario ends within a minute. */
const OFFLINE_AFTER_S = 20;

const directory = await mkdtemp(join(tmpdir(), "ct-ops-ingest-faults-"));
let isGood = true;
try {
  await chmod(directory, 0o711);
  let postgres = await startEmbeddedPostgres({ dataDir: join(directory, "data"), settings: {} });
  const port = Number(new URL(postgres.url()).port);
  const databaseUrl = postgres.url();
  try {
    await migrateStandalone(databaseUrl);
    const { certFile, keyFile } = await writeDevTls(join(directory, "tls"));
    const env = {
      DATABASE_URL: databaseUrl,
      INGEST_TLS_CERT: certFile,
      INGEST_TLS_KEY: keyFile,
      INGEST_JWT_KEY_FILE: join(directory, "jwt_key.pem"),
      INGEST_GRPC_PORT: "0",
      INGEST_HTTP_PORT: "0",
      INGEST_WORKERS: "1",
      INGEST_OFFLINE_AFTER: `${OFFLINE_AFTER_S}s`,
      LDAP_ENCRYPTION_KEY: "a secret of the benchmark",
    };
    const instances: [ServiceProcess, ServiceProcess] = [await startService(env), await startService(env)];
    const fleet = new Fleet(await enrolAll(instances[0], databaseUrl), () => instances, INTERVAL_MS);
    const replace = async (index: 0 | 1) => {
      instances[index] = await startService(env);
    };

    const scenarios: Record<string, () => Promise<void>> = {
      "PostgreSQL stopped and started again after 10 s": async () => {
        await postgres.stop();
        await delay(10_000);
        postgres = await startEmbeddedPostgres({ dataDir: join(directory, "data"), port, settings: {} });
      },
      "its connections cut, three times": async () => {
        const database = openDatabase({ url: databaseUrl, maxConnections: 1 });
        for (let i = 0; i < 3; i += 1) {
          await database.db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'ct-ops-ingest%' and pid <> pg_backend_pid()",
          );
          await delay(1_000);
        }
        await database.close();
      },
      "agents moved back and forth": async () => {
        for (let i = 0; i < 4; i += 1) {
          fleet.moveHalf();
          await delay(2_000);
        }
      },
      "one instance killed, and started again": async () => {
        await instances[0].kill();
        await delay(2_000);
        await replace(0);
      },
      "rolling restart of both": async () => {
        for (const index of [0, 1] as const) {
          await instances[index].stop();
          await replace(index);
        }
      },
      "both killed, one started again": async () => {
        await Promise.all(instances.map((instance) => instance.kill()));
        await replace(0);
        instances[1] = instances[0];
      },
    };
    fleet.start();
    await fleet.allHeard();
    for (const [name, run] of Object.entries(scenarios)) {
      const startedAt = performance.now();
      await run();
      await fleet.allHeard();
      const backS = (performance.now() - startedAt) / 1000;
      report(name, backS, await fleet.audit(databaseUrl, []));
    }
    const silenced = fleet.silence(Math.ceil(COUNT / 10));
    await instances[0].kill();
    await replace(0);
    instances[1] = instances[0];
    await fleet.allHeard();
    // Who is silent is shown offline when the new instance has given all their time, and looked.
    await delay((OFFLINE_AFTER_S + 15) * 1_000);
    report("a tenth of the agents gone with their instance", 0, await fleet.audit(databaseUrl, silenced));
    await fleet.stop();
    await instances[0].stop();
  } finally {
    await postgres.stop();
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
process.exitCode = isGood ? 0 : 1;

function report(name: string, backS: number, audit: Awaited<ReturnType<Fleet["audit"]>>): void {
  const { acknowledged, notOnce, wronglyOffline, wronglyOnline, lostIdentities } = audit;
  isGood &&= notOnce + wronglyOffline + wronglyOnline + lostIdentities === 0;
  console.log(
    `${name}: all heard again after ${backS.toFixed(1)} s; ${acknowledged} acknowledged, ${notOnce} not stored exactly once; ` +
      `wrongly shown offline ${wronglyOffline}, online ${wronglyOnline}; identities lost ${lostIdentities}`,
  );
}

async function enrolAll(service: ServiceProcess, databaseUrl: string): Promise<AgentIdentity[]> {
  const database = openDatabase({ url: databaseUrl, maxConnections: 1 });
  await insertOrganisation(database.db, { name: "Faults", slug: "faults" });
  const publishing = { database, outbox: createClosedOutbox() };
  const { token } = await issueEnrolmentToken(publishing, { label: "faults", autoApprove: true, tags: [] });
  await database.close();
  const address = { address: `localhost:${service.port}`, ca: service.ca, connectTimeoutMs: 120_000 };
  const identities: AgentIdentity[] = [];
  let next = 0;
  const lanes = Array.from({ length: ENROLMENTS_AT_ONCE }, async () => {
    for (let index = next++; index < COUNT; index = next++) {
      const description = { hostname: `fault-${index}`, version: "v1", os: "linux", arch: "amd64" };
      identities[index] = await enrol({ ...address, key: createAgentKey(), token, description });
    }
  });
  await Promise.all(lanes);
  return identities;
}
