/**
 * Measures what it costs when all agents come back at once: how long until every agent has a heartbeat acknowledged, beside
 * a bare `node:http2` server that only answers, and the statements that PostgreSQL is sent; with JWTs that are good, and
 * with ones that expired, so that every agent registers again first. bench/README.md has the figures.
 *
 * The service, PostgreSQL (fsync on) and this process, which holds the agents, share the machine.
 */
import { readFile } from "node:fs/promises";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  type AgentIdentity,
  enrol,
  type HeartbeatStream,
  loadAgentKey,
  openHeartbeatStream,
} from "../dist/agent/index.js";
import { spread } from "./support/figures.js";
import { type ServiceProcess, startServer, startService } from "./support/service-process.js";
import { enrolAll, onStage } from "./support/stage.js";

const { values } = parseArgs({
  options: { agents: { type: "string", default: "1000" }, rounds: { type: "string", default: "3" } },
});
const [agents, rounds] = [Number(values.agents), Number(values.rounds)];
/** The last one waits for the handshakes of all others. */
const CONNECT_TIMEOUT_MS = 300_000;
const RETRY_MS = 1_000;
const BARE_SERVER = fileURLToPath(new URL("variants/bare-server.js", import.meta.url));

await onStage(
  async ({ directory, env, token }) => {
    const service = await startService(env);
    const bare = await startServer(env, [BARE_SERVER]);
    const countStatements = () => countIn(join(directory, "postgres.log"));
    try {
      const identities = await enrolAll(service, { token, prefix: "reconnects", count: agents });
      const registerAgain = (identity: AgentIdentity) => register(service, identity);
      const own = (identity: AgentIdentity) => Promise.resolve(identity);
      const ways = {
        "a bare server": { server: bare, prepare: own },
        "JWTs are good": { server: service, prepare: own },
        "JWTs expired": { server: service, prepare: registerAgain },
      };
      console.log(`cores ${availableParallelism()}, node ${process.version}, ${agents} agents, ${rounds} rounds`);
      const took: Record<string, number[]> = {};
      const held = new Map<ServiceProcess, HeartbeatStream[]>();
      for (const server of [bare, service]) held.set(server, await openAll(server, identities, own));
      for (let round = 0; round < rounds; round++) {
        for (const [way, { server, prepare }] of Object.entries(ways)) {
          const before = await countStatements();
          const startedAt = performance.now();
          for (const stream of held.get(server) ?? []) stream.destroy();
          held.set(server, await openAll(server, identities, prepare));
          const seconds = (performance.now() - startedAt) / 1_000;
          const statements = (await countStatements()) - before;
          took[way] = [...(took[way] ?? []), seconds];
          console.log(`${way}: all back after ${seconds.toFixed(1)} s, ${statements} statements`);
        }
      }
      for (const [way, seconds] of Object.entries(took)) {
        const ratios = seconds.map((each, round) => each / (took["a bare server"]?.[round] ?? 0));
        console.log(`${way}: ${spread(seconds, 1)} s, by the bare server's ${spread(ratios, 2)}`);
      }
      console.log(`load average ${loadavg()[0]?.toFixed(1)}`);
      for (const streams of held.values()) for (const stream of streams) stream.destroy();
    } finally {
      await Promise.all([service.stop(), bare.stop()]);
    }
  },
  { log_statement: "all" },
);

/** Registers with the key that it has, as an agent does whose JWT expired. */
function register({ port, ca }: ServiceProcess, identity: AgentIdentity): Promise<AgentIdentity> {
  const options = {
    address: `localhost:${port}`,
    ca,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    key: loadAgentKey(identity.privateKeyPem),
    token: "",
    description: { hostname: identity.agentId, version: "v1", os: "linux", arch: "amd64" },
  };
  return enrol(options);
}

/** Opens a stream for each, again after a second when it breaks, and resolves when each has a heartbeat acknowledged. */
function openAll(
  { port, ca }: ServiceProcess,
  identities: readonly AgentIdentity[],
  prepare: (identity: AgentIdentity) => Promise<AgentIdentity>,
): Promise<HeartbeatStream[]> {
  const address = { address: `localhost:${port}`, ca, connectTimeoutMs: CONNECT_TIMEOUT_MS };
  return Promise.all(
    identities.map(async (identity) => {
      for (;;) {
        try {
          const stream = openHeartbeatStream(address, await prepare(identity));
          await stream.send({ cpuPercent: 1, uptimeSeconds: 1n });
          return stream;
        } catch {
          // The door closes who has waited for longer than agents do.
          await delay(RETRY_MS);
        }
      }
    }),
  );
}

/** All that PostgreSQL was sent so far, `begin` and `commit` included. */
async function countIn(logFile: string): Promise<number> {
  const log = await readFile(logFile, "utf8");
  return log.match(/ LOG: {2}(statement|execute [^:]*): /g)?.length ?? 0;
}
