import { readServerVersion } from "../../../store/inspection.js";
import { describeError } from "../../describe-error.js";
import { type Check, error, ok } from "../check.js";

const OLDEST_SUPPORTED = 14;

/** Whether PostgreSQL answers, and is new enough. */
export function databaseReachableCheck(problem: unknown): Check {
  return {
    name: "database",
    run: async ({ db }) => {
      if (db === undefined) {
        return [error(describeError(problem), "start PostgreSQL, or correct DATABASE_URL; the rest is checked then")];
      }
      const version = await readServerVersion(db);
      return Number.parseInt(version, 10) >= OLDEST_SUPPORTED
        ? [ok(`PostgreSQL ${version} answers`)]
        : [error(`PostgreSQL ${version} is too old`, `upgrade it to ${OLDEST_SUPPORTED} or later`)];
    },
  };
}
