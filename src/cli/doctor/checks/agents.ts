import { findAgentsWithExpiringCertificate, findAgentsWithoutCertificate } from "../../../store/inspection.js";
import { databaseCheck, type Finding, ok, warning } from "../check.js";

/** An agent renews when a third of 90 days is left: one that has less than this does not get there by itself. */
const EXPIRES_SOON_DAYS = 14;

/** Agents that have no client certificate, or will have none soon. */
export const agentsCheck = databaseCheck("agents", async (db) => {
  const without = await findAgentsWithoutCertificate(db);
  const expiring = await findAgentsWithExpiringCertificate(db, EXPIRES_SOON_DAYS);
  const findings: Finding[] = [];
  if (without.count > 0) {
    findings.push(
      warning(
        `without a client certificate: ${list(without)}`,
        "they register by themselves and obtain one; restart the agent of one that does not, and see `agent show`",
      ),
    );
  }
  if (expiring.count > 0) {
    findings.push(
      warning(
        `with a client certificate that has expired, or does within ${EXPIRES_SOON_DAYS} days: ${list(expiring)}`,
        "they renew when they connect: see that they run and reach the service; afterwards they have to register",
      ),
    );
  }
  return findings.length > 0 ? findings : [ok("every agent has a client certificate that lasts")];
});

function list({ count, examples }: { count: number; examples: readonly string[] }): string {
  const more = count - examples.length;
  return `${count} (${examples.join(", ")}${more > 0 ? ` and ${more} more` : ""})`;
}
