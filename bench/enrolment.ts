/**
 * Measures registrations per second with a token that approves by itself, of one worker and of two, beside what signing
 * alone costs: a client certificate (X.509, ECDSA) and a JWT (RS256) each, without network and database. bench/README.md
 * has the figures.
 *
 * The services, PostgreSQL (fsync on) and this process, which sends the load, share the machine.
 */
import { availableParallelism, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { createAgentKey } from "../dist/agent/agent-key.js";
import { type Connection, openConnection } from "../dist/agent/connection.js";
import { openAgentCas } from "../dist/identity/agent-ca/agent-cas.js";
import { parseAgentPublicKey } from "../dist/identity/agent-key.js";
import { issueClientCertificate } from "../dist/identity/client-certificates/issue-client-certificate.js";
import { KeyEvents } from "../dist/identity/key-events.js";
import { issueAccessToken } from "../dist/identity/signing-keys/access-token.js";
import { openSigningKeyRing } from "../dist/identity/signing-keys/signing-key-ring.js";
import { createLogger } from "../dist/observe/logger.js";
import { openDatabase } from "../dist/store/database.js";
import { cpuMsOfFamily } from "./support/cpu-time.js";
import { spread } from "./support/figures.js";
import { type ServiceProcess, startService } from "./support/service-process.js";
import { onStage, type Stage } from "./support/stage.js";

const { values } = parseArgs({
  options: {
    /** Of each service. */
    registrations: { type: "string", default: "4000" },
    /** Requests under way at once, over as many connections. */
    concurrency: { type: "string", default: "32" },
  },
});
const registrations = Number(values.registrations);
const concurrency = Number(values.concurrency);
/** Not measured: code is compiled and caches fill. */
const WARM_UP = 500;
const ROUNDS = 7;
const perRound = Math.ceil(registrations / ROUNDS);
let machines = 0;

await onStage(async (stage) => {
  const one = await startService(stage.env);
  const two = await startService({ ...stage.env, INGEST_WORKERS: "2" });
  try {
    const sign = await openSigner(stage);
    const [registerWithOne, registerWithTwo] = [connectTo(one), connectTo(two)];
    await inParallel(WARM_UP, sign);
    for (const service of [registerWithOne, registerWithTwo]) await service.register(stage.token, WARM_UP);
    const rounds: Record<"signing" | "one worker" | "two workers", number>[] = [];
    const costs: Record<"one worker, ms" | "PostgreSQL, ms" | "the load, ms", number>[] = [];
    // In turns, since the machine is not equally fast all the time.
    for (let round = 0; round < ROUNDS; round++) {
      const signing = perSecond(await inParallel(perRound, sign));
      const before = await cpuOf(one, stage);
      const oneTook = await registerWithOne.register(stage.token, perRound);
      const after = await cpuOf(one, stage);
      const twoTook = await registerWithTwo.register(stage.token, perRound);
      rounds.push({ signing, "one worker": perSecond(oneTook), "two workers": perSecond(twoTook) });
      const each = (who: keyof typeof after) => (after[who] - before[who]) / perRound;
      costs.push({
        "one worker, ms": each("service"),
        "PostgreSQL, ms": each("postgres"),
        "the load, ms": each("load"),
      });
    }
    registerWithOne.close();
    registerWithTwo.close();

    console.log(`cores ${availableParallelism()}, node ${process.version}, ${concurrency} requests at once`);
    console.log(`${ROUNDS} rounds of ${perRound}; median (range); load average ${loadavg()[0]?.toFixed(1)}`);
    print(rounds, "a second", 0);
    print(costs, "processor time of a registration", 2);
    console.log(`one worker by signing      ${spread(ratios(rounds, "one worker", "signing"), 2)}`);
    console.log(`two workers by one worker  ${spread(ratios(rounds, "two workers", "one worker"), 2)}`);
  } finally {
    await Promise.all([one.stop(), two.stop()]);
  }
});

/** What every registration needs signed, with the keys of the services. */
async function openSigner({ databaseUrl, env }: Stage): Promise<() => Promise<void>> {
  const database = openDatabase({ url: databaseUrl, maxConnections: 1 });
  const events = new KeyEvents(createLogger("silent"));
  const encryptionSecret = env.LDAP_ENCRYPTION_KEY ?? "";
  const agentCa = await openAgentCas({ database, encryptionSecret, events });
  const signingKeys = await openSigningKeyRing({ db: database.db, path: env.INGEST_JWT_KEY_FILE ?? "", events });
  await Promise.all([agentCa.close(), signingKeys.close()]);
  await database.close();
  const publicKey = parseAgentPublicKey(createAgentKey().publicKeyPem);
  const identity = { agentId: "a".repeat(24), organisationId: "b".repeat(24) };
  return async () => {
    await issueClientCertificate(agentCa.current, identity, publicKey);
    await issueAccessToken(signingKeys, { ...identity, publicKey });
  };
}

function connectTo({ port, ca }: ServiceProcess) {
  const connections = Array.from({ length: concurrency }, () => openConnection({ address: `localhost:${port}`, ca }));
  return {
    /** Registers new machines; returns how long it took, in milliseconds. */
    register: async (token: string, count: number) => {
      const requests = await prepareRequests(count, token);
      return inParallel(count, async (index, lane) => {
        const response = await (connections[lane] as Connection).client.register(requests[index] ?? {});
        if (response.status !== "active") throw new Error(`registered as ${response.status}: ${response.message}`);
      });
    },
    close: () => {
      for (const connection of connections) connection.close();
    },
  };
}

/** Made beforehand: keys and their requests are the agents' work, each on a machine of its own. */
async function prepareRequests(count: number, orgToken: string) {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const machine = machines++;
      const key = createAgentKey();
      const ipAddress = `10.${machine >> 16}.${(machine >> 8) & 255}.${machine & 255}`;
      return {
        orgToken,
        publicKey: key.publicKeyPem,
        csrDer: await key.createCsr(),
        platformInfo: { os: "linux", arch: "amd64", ipAddresses: [ipAddress, "172.17.0.1", "fe80::1"] },
        agentInfo: { hostname: `bench-${machine}`, version: "v1" },
        tags: [{ key: "env", value: "bench" }],
      };
    }),
  );
}

/** Does something so many times, a bounded number of them at once; returns how long it took, in milliseconds. */
async function inParallel(times: number, work: (index: number, lane: number) => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  let next = 0;
  const lanes = Array.from({ length: concurrency }, async (_, lane) => {
    while (next < times) await work(next++, lane);
  });
  await Promise.all(lanes);
  return performance.now() - startedAt;
}

/** Processor time until now, in milliseconds; that of the load has the making of requests in it. */
async function cpuOf(service: ServiceProcess, { postgresPid }: Stage) {
  const { user, system } = process.cpuUsage();
  return {
    service: await cpuMsOfFamily(service.pid),
    postgres: await cpuMsOfFamily(postgresPid),
    load: (user + system) / 1_000,
  };
}

function perSecond(durationMs: number): number {
  return (perRound * 1_000) / durationMs;
}

function print<K extends string>(figures: readonly Record<K, number>[], what: string, digits: number): void {
  console.log(what);
  for (const name of Object.keys(figures[0] ?? {}) as K[]) {
    const column = figures.map((row) => row[name]);
    console.log(`  ${name.padEnd(16)} ${spread(column, digits)}`);
  }
}

function ratios<K extends string>(figures: readonly Record<K, number>[], of: K, by: K): number[] {
  return figures.map((row) => row[of] / row[by]);
}
