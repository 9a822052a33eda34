import { readFile } from "node:fs/promises";
import { countEnrolledAgents } from "../../../../store/inspection.js";
import { databaseCheck, error, ok, skipped } from "../../check.js";

/** Files, the database's connections, and calls beside the streams. */
const RESERVE = 256;

/** Each agent holds a connection: how many the operating system allows. */
export const descriptorsCheck = databaseCheck("descriptor limit", async (db) => {
  // Node raises its own limit to the hard one when it starts, so this is what `serve` would get here.
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => undefined);
  const [, limit] = /^Max open files\s+(\S+)/m.exec(limits ?? "") ?? [];
  if (limit === undefined) return [skipped("this system does not tell the limit of open files")];
  const agents = await countEnrolledAgents(db);
  const found = `${limit} open files are allowed, for ${agents} agents with a connection each`;
  if (limit === "unlimited" || Number(limit) >= agents + RESERVE) return [ok(found)];
  return [
    error(
      found,
      `allow at least ${agents + RESERVE} (LimitNOFILE= of systemd, ulimits: of compose), or run more instances`,
    ),
  ];
});
