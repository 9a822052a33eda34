import { findDatabaseRefusal } from "../../../store/connection/database-refusal.js";
import { readIsReadOnly, readServerVersion } from "../../../store/inspection.js";
import { describeError } from "../../interaction/describe-error.js";
import { type Check, error, ok } from "../check.js";

const OLDEST_SUPPORTED = 14;

/** Whether PostgreSQL answers, and is new enough. */
export function databaseReachableCheck(problem: unknown): Check {
  return {
    name: "database",
    run: async ({ db }) => {
      if (db === undefined) {
        const { what, remedy } = findDatabaseRefusal(problem) ?? { what: describeError(problem) };
        return [error(what, `${remedy ?? "correct DATABASE_URL"}; the rest is checked then`)];
      }
      const version = await readServerVersion(db);
      if (Number.parseInt(version, 10) < OLDEST_SUPPORTED) {
        return [error(`PostgreSQL ${version} is too old`, `upgrade it to ${OLDEST_SUPPORTED} or later`)];
      }
      return (await readIsReadOnly(db))
        ? [error(`PostgreSQL ${version} answers, but can only be read`, "name a server that can be written to")]
        : [ok(`PostgreSQL ${version} answers`)];
    },
  };
}
