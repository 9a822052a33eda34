import { readFile } from "node:fs/promises";
import t from "tap";
import { boundByDescriptors } from "../../dist/server/admission/descriptor-limit.js";
import { createTestLog } from "../support/log.js";

const limits = await readFile("/proc/self/limits", "utf8").catch(() => "");
const [, found] = /^Max open files +(\d+)/m.exec(limits) ?? [];
const skip = found === undefined ? "this system does not tell the limit of open files" : false;
const MANY = 100_000_000;
const RESERVE = 20;

t.test("no more connections are let in than there are descriptors for", { skip }, async (t) => {
  const { logger, lines } = createTestLog();
  const descriptors = Number(found);
  const few = { maxConnections: 1, maxHandshakes: 2 };
  t.same(await boundByDescriptors(few, { reserve: RESERVE, logger }), few);
  t.same(lines, []);
  const { maxConnections } = await boundByDescriptors({ maxConnections: MANY }, { reserve: RESERVE, logger });
  t.ok(maxConnections < descriptors - RESERVE && maxConnections > descriptors / 4, `${maxConnections}`);
  t.match(lines, [{ level: "warn", descriptors, maxConnections: MANY, allowed: maxConnections }]);
  const { maxConnections: half } = await boundByDescriptors({ maxConnections: MANY }, { reserve: descriptors, logger });
  t.equal(half, Math.floor(descriptors / 2));
});
