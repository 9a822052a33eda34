import { countUsedRows } from "../../store/inspection.js";
import { databaseCheck, ok, warning } from "./check.js";

/** What the earlier service did that this one does not, by the tables that show it is in use. */
const FEATURES: readonly { table: string; statuses?: readonly string[]; what: string }[] = [
  { table: "alert_rules", what: "alert rules are not evaluated, and nobody is notified" },
  { table: "task_schedules", what: "scheduled tasks are not started" },
  { table: "certificates", what: "tracked certificates are not refreshed, and their expiry is not told" },
  { table: "terminal_sessions", what: "terminals cannot be opened" },
  { table: "checks", what: "checks are not sent to agents" },
  { table: "task_run_hosts", statuses: ["pending", "running", "cancelling"], what: "tasks are not sent to agents" },
  { table: "agent_queries", statuses: ["pending"], what: "queries are not sent to agents" },
  { table: "software_scans", what: "software inventories are not taken" },
];

/** Features of the earlier service in use that this one does not have. */
export const unsupportedFeaturesCheck = databaseCheck("features in use", async (db) => {
  const used = await Promise.all(
    FEATURES.map(async ({ table, statuses, what }) => ({
      table,
      what,
      rows: await countUsedRows(db, table, statuses),
    })),
  );
  const findings = used
    .filter(({ rows }) => rows.count > 0)
    .map(({ table, what, rows }) =>
      warning(
        `${what} (${table}: ${rows.count}${rows.more ? " or more" : ""} in use)`,
        "keep the earlier service for it, or do without",
      ),
    );
  return findings.length > 0 ? findings : [ok("nothing is in use that only the earlier service has")];
});
