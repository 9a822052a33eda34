/**
 * Measures acknowledged, durable heartbeats at saturation: our own handler of gRPC streams beside Connect's, two services
 * on one database, in turns. bench/README.md has the figures.
 */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { spread } from "./support/figures.js";
import { startLoad, type Turn, takeTurn } from "./support/load-process.js";
import { startService } from "./support/service-process.js";
import { enrolAll, onStage, type Stage } from "./support/stage.js";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "100" },
    turns: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
  },
});
const [agents, turns, seconds] = [Number(values.agents), Number(values.turns), Number(values.seconds)];
const CONNECTS_HANDLER = fileURLToPath(new URL("variants/connects-handler.js", import.meta.url));

await onStage(measure);

async function measure({ directory, env, token }: Stage): Promise<void> {
  const ours = await startService(env);
  const connects = await startService(env, ["--import", CONNECTS_HANDLER]);
  try {
    // Half of the agents each: an agent has one stream at a time, on whatever service.
    const identities = await enrolAll(ours, { token, prefix: "bench", count: 2 * agents });
    const loads = {
      ours: await startLoad(directory, ours, identities.slice(0, agents)),
      connects: await startLoad(directory, connects, identities.slice(agents)),
    };
    const of = { ours: [] as Turn[], connects: [] as Turn[] };
    for (let turn = 0; turn < turns; turn++) {
      of.ours.push(await takeTurn(ours, loads.ours, seconds * 1_000));
      of.connects.push(await takeTurn(connects, loads.connects, seconds * 1_000));
    }
    for (const load of Object.values(loads)) load.disconnect();
    console.log(
      `cores ${availableParallelism()}, node ${process.version}, ${agents} agents, ${turns} turns of ${seconds} s`,
    );
    print("our handler", of.ours);
    print("Connect's", of.connects);
    const ratios = of.ours.map(({ rate }, turn) => rate / (of.connects[turn]?.rate ?? 0));
    const costs = of.ours.map(({ serviceMs }, turn) => (of.connects[turn]?.serviceMs ?? 0) / serviceMs);
    console.log(
      `rate, ours by Connect's: ${spread(ratios, 2)}; processor time, Connect's by ours: ${spread(costs, 2)}`,
    );
  } finally {
    await ours.stop();
    await connects.stop();
  }
}

function print(name: string, of: readonly Turn[]): void {
  const rate = spread(
    of.map((turn) => turn.rate),
    0,
  );
  const serviceMs = spread(
    of.map((turn) => turn.serviceMs),
    3,
  );
  const share = spread(
    of.map((turn) => turn.load * 100),
    0,
  );
  console.log(
    `${name}: ${rate} heartbeats/s, ${serviceMs} ms of the service's processor each, load ${share} % of a core`,
  );
}
