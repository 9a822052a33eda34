/**
 * Measures registrations per second with a token that approves by itself, of one worker and of two, beside what signing
 * alone costs: a client certificate (X.509, ECDSA) and a JWT (RS256) each, without network and database. bench/README.md
 * has the figures.
 *
 * The services, PostgreSQL (fsync on) and this process, which sends the load, share the machine.
 */
import { availableParallelism, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { RegisterRequestSchema } from "#gen/agent/v1/registration_pb.js";
import { createAgentKey } from "../dist/agent/agent-key.js";
import { openAgentCas } from "../dist/identity/agent-ca/agent-cas.js";
import { parseAgentPublicKey } from "../dist/identity/agent-key.js";
import { issueClientCertificate } from "../dist/identity/client-certificates/issue-client-certificate.js";
import { KeyEvents } from "../dist/identity/key-events.js";
import { issueAccessToken } from "../dist/identity/signing-keys/access-token.js";
import { openSigningKeyRing } from "../dist/identity/signing-keys/signing-key-ring.js";
import { createLogger } from "../dist/observe/logger.js";
import { openDatabase } from "../dist/store/database.js";
import { cpuMsOfFamily } from "./support/cpu-time.js";
import { envelopeOf } from "./support/envelope.js";
import { spread } from "./support/figures.js";
import { Registrar } from "./support/registrar.js";
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
    const [withOne, withTwo] = [await connectTo(one), await connectTo(two)];
    await inParallel(WARM_UP, sign);
    for (const { register } of [withOne, withTwo]) {
      await register(await prepareRequests(WARM_UP, stage.token));
    }
    const rounds: Record<"signing" | "one worker" | "two workers", number>[] = [];
    const costs: Record<string, number>[] = [];
    // In turns, since the machine is not equally fast all the time.
    for (let round = 0; round < ROUNDS; round++) {
      const requests = await prepareRequests(2 * perRound, stage.token);
      const signing = perSecond(await inParallel(perRound, sign));
      const byOne = await takeTurn(stage, withOne, requests.slice(0, perRound));
      const byTwo = await takeTurn(stage, withTwo, requests.slice(perRound));
      rounds.push({ signing, "one worker": byOne.rate, "two workers": byTwo.rate });
      costs.push({
        "one worker": byOne.serviceMs,
        "its PostgreSQL": byOne.postgresMs,
        "its load": byOne.loadMs,
        "two workers": byTwo.serviceMs,
        "their PostgreSQL": byTwo.postgresMs,
        "their load": byTwo.loadMs,
      });
    }
    withOne.close();
    withTwo.close();

    console.log(`cores ${availableParallelism()}, node ${process.version}, ${concurrency} requests at once`);
    console.log(`${ROUNDS} rounds of ${perRound}; median (range); load average ${loadavg()[0]?.toFixed(1)}`);
    print(rounds, "a second", 0);
    print(costs, "processor time of a registration, ms", 2);
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

async function connectTo(service: ServiceProcess) {
  const registrars = await Promise.all(Array.from({ length: concurrency }, () => Registrar.connect(service)));
  return {
    pid: service.pid,
    /** Registers new machines; returns how long it took, in milliseconds. */
    register: async (requests: readonly Buffer[]) =>
      inParallel(requests.length, async (index, lane) => {
        const response = await (registrars[lane] as Registrar).register(requests[index] as Buffer);
        if (response.status !== "active") throw new Error(`registered as ${response.status}: ${response.message}`);
      }),
    close: () => {
      for (const registrar of registrars) registrar.close();
    },
  };
}

/** Made beforehand: keys and their requests are the agents' work, each on a machine of its own. */
async function prepareRequests(count: number, orgToken: string): Promise<Buffer[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const machine = machines++;
      const key = createAgentKey();
      const ipAddress = `10.${machine >> 16}.${(machine >> 8) & 255}.${machine & 255}`;
      const request = create(RegisterRequestSchema, {
        orgToken,
        publicKey: key.publicKeyPem,
        csrDer: await key.createCsr(),
        platformInfo: { os: "linux", arch: "amd64", ipAddresses: [ipAddress, "172.17.0.1", "fe80::1"] },
        agentInfo: { hostname: `bench-${machine}`, version: "v1" },
        tags: [{ key: "env", value: "bench" }],
      });
      return envelopeOf(toBinary(RegisterRequestSchema, request));
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

/** Registers new machines: how many a second, and the processor time of one, in milliseconds. */
async function takeTurn(stage: Stage, service: Awaited<ReturnType<typeof connectTo>>, requests: readonly Buffer[]) {
  const before = await cpuOf(service.pid, stage);
  const rate = perSecond(await service.register(requests));
  const after = await cpuOf(service.pid, stage);
  const each = (who: keyof typeof after) => (after[who] - before[who]) / requests.length;
  return { rate, serviceMs: each("service"), postgresMs: each("postgres"), loadMs: each("load") };
}

/** Processor time until now, in milliseconds. */
async function cpuOf(pid: number, { postgresPid }: Stage) {
  const { user, system } = process.cpuUsage();
  return {
    service: await cpuMsOfFamily(pid),
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
