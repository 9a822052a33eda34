import t from "tap";
import { registrationLocks } from "../../dist/store/enrolment/registration-locks.js";

function namesFor(hostname: string): string[] {
  return registrationLocks("key", { organisationId: "o", hostname, addresses: [] });
}

t.test("hostnames that a database may take for equal have one lock", async (t) => {
  // With lower() of PostgreSQL's C.UTF-8, or of a Turkish locale for the last ones.
  for (const [one, other] of [
    ["WEB-01", "web-01"],
    ["web-İ", "web-i"],
    ["ΟΔΟΣ", "οδοσ"],
    ["STRAẞE", "straße"],
    ["ÄPFEL", "äpfel"],
    ["\u212a9", "k9"],
    ["WEB-I", "web-ı"],
  ] as const) {
    t.same(namesFor(one), namesFor(other), `${one} ${other}`);
  }
  t.notSame(namesFor("web-01"), namesFor("web-02"));
});
