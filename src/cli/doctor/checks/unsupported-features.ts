import type { Queryable } from "../../../store/database.js";
import { countUsedRows } from "../../../store/inspection.js";
import { describeError } from "../../interaction/describe-error.js";
import { databaseCheck, error, type Finding, ok, warning } from "../check.js";

/** A table in which what was done stays: it is in use if something was added within this time. */
const RECENT_DAYS = 30;

interface Feature {
  table: string;
  recentDays?: number;
  /** What is missing, for who uses it. */
  what: string;
}

/** What the earlier service did that this one does not, by the tables that show it is in use. */
const FEATURES: readonly Feature[] = [
  { table: "alert_rules", what: "alert rules are not evaluated, and nobody is notified" },
  { table: "task_schedules", what: "scheduled tasks are not started" },
  { table: "certificates", what: "tracked certificates are not refreshed, and their expiry is not told" },
  { table: "terminal_sessions", recentDays: RECENT_DAYS, what: "terminals cannot be opened" },
];

/** Features of the earlier service in use that this one does not have. */
export const unsupportedFeaturesCheck = databaseCheck("features in use", async (db) => {
  const findings = (await Promise.all(FEATURES.map((feature) => checkFeature(db, feature)))).flat();
  return findings.length > 0 ? findings : [ok("nothing is in use that only the earlier service has")];
});

async function checkFeature(db: Queryable, { table, what, recentDays }: Feature): Promise<Finding[]> {
  try {
    const { count, more } = await countUsedRows(db, table, recentDays);
    if (count === 0) return [];
    const used = `${table}: ${count}${more ? " or more" : ""} in use`;
    return [warning(`${what} (${used})`, "keep the earlier service for it, or do without")];
  } catch (thrown) {
    return [error(`${table} cannot be read: ${describeError(thrown)}`, "put right what the message names")];
  }
}
