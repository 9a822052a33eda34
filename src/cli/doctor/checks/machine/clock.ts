import { readDatabaseClock } from "../../../../store/inspection.js";
import { databaseCheck, error, ok, warning } from "../../check.js";

const NOTICEABLE_MS = 5_000;
/** What is granted to clocks where certificates and tokens are verified. */
const TOLERANCE_MS = 60_000;

/** This machine's clock, which dates tokens and certificates, against the database's, which compares them. */
export const clockCheck = databaseCheck("clock", async (db) => {
  const askedAt = Date.now();
  const theirs = await readDatabaseClock(db);
  const offsetMs = Math.round((askedAt + Date.now()) / 2 - theirs.getTime());
  const found = `this machine's clock is ${Math.abs(offsetMs) / 1000} s ${offsetMs < 0 ? "behind" : "ahead of"} the database's`;
  if (Math.abs(offsetMs) < NOTICEABLE_MS) return [ok(found)];
  const report = Math.abs(offsetMs) < TOLERANCE_MS ? warning : error;
  return [report(found, "synchronise both machines with NTP")];
});
