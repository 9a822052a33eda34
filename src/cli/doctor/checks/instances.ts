import { VERSION } from "../../../observe/version.js";
import { type InstanceRow, listInstances } from "../../../store/sessions/instances.js";
import { databaseCheck, type Finding, ok, warning } from "../check.js";

/** What the instances that serve agents say of themselves in the database, on whichever machine and port they are. */
export const instancesCheck = databaseCheck("instances", async (db) => {
  const rows = await listInstances(db);
  const running = rows.filter(({ isGone }) => !isGone);
  if (running.length > 0) return running.map(describeRunning);
  const last = rows.at(-1);
  if (last === undefined) return [ok("none runs on this database")];
  return [
    warning(
      `none runs on this database; the last one, at ${last.address}, went without a word: ${last.renewedAt.toISOString()}`,
      "start the service; the end of its log may say why it ended",
    ),
  ];
});

function describeRunning({ address, version, sessions, draining }: InstanceRow): Finding {
  const found = `one runs at ${address}, version ${version}, with ${sessions} sessions${draining ? ", and stops" : ""}`;
  if (version === VERSION) return ok(found);
  return warning(
    `${found}; this command is ${VERSION}`,
    "run the same version on all instances, once all are replaced",
  );
}
