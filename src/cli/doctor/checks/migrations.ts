import { readMigrationState } from "../../../store/migrations/migration-state.js";
import { databaseCheck, error, type Finding, ok, warning } from "../check.js";

/** The platform's tables, and the service's own schema. */
export const migrationsCheck = databaseCheck("migrations", async (db) => {
  const { missingTables, pending, isNewer } = await readMigrationState(db);
  const findings: Finding[] = [];
  if (missingTables.length > 0) {
    findings.push(
      error(
        `tables of the platform are missing: ${missingTables.join(", ")}`,
        "let the web app migrate the database; if it is the service's own: ct-ops-ingest migrate --standalone",
      ),
    );
  }
  if (pending.length > 0) {
    findings.push(
      warning(
        `${pending.length} migrations of schema ingest are to be applied`,
        "start the service, or: ct-ops-ingest migrate",
      ),
    );
  }
  if (isNewer) {
    findings.push(
      warning("a newer version of this service has migrated the database", "run that version, on all instances"),
    );
  }
  return findings.length > 0 ? findings : [ok("the platform's tables are there, schema ingest is up to date")];
});
