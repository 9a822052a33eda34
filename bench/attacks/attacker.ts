/**
 * Carries out one attack, as a process of its own: attempts one after the other, several at once, until it is told to
 * stop. Then it tells what became of them, and ends.
 */
import { readFile } from "node:fs/promises";
import { enrolledAttacks } from "./enrolled.js";
import { strangersAttacks } from "./strangers.js";
import type { Attack, AttackReport, Mark } from "./types.js";

const mark: Mark = JSON.parse(await readFile(process.argv[2] ?? "", "utf8"));
const attack: Attack | undefined = { ...strangersAttacks, ...enrolledAttacks }[mark.attack];
if (attack === undefined) throw new Error(`no such attack: ${mark.attack}`);

const outcomes: Record<string, number> = {};
const startedAt = performance.now();

process.once("message", () => {
  const { user, system } = process.cpuUsage();
  const elapsedMs = performance.now() - startedAt;
  process.send?.({ outcomes, elapsedMs, cpuMs: (user + system) / 1_000 } satisfies AttackReport, () => process.exit());
});
process.on("disconnect", () => process.exit());

const attempt = await attack.prepare(mark);
await Promise.all(
  Array.from({ length: attack.atOnce }, async (_, lane) => {
    for (;;) {
      const outcome = await attempt(lane);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      // A call that is refused without a network in between would let nothing else run.
      await new Promise(setImmediate);
    }
  }),
);
