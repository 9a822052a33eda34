import t from "tap";
import { findObjection, type Standing } from "../../dist/identity/standing.js";

const GOOD: Standing = {
  status: "active",
  organisationAgrees: true,
  keyAgrees: true,
  certificateRevoked: false,
  isLocked: false,
};

/** What speaks against an agent, the first that is told first. */
const OBJECTIONS: readonly [Partial<Standing>, code: string, reason?: string][] = [
  [{ status: null }, "agent_not_found"],
  [{ organisationAgrees: false }, "identity_mismatch"],
  [{ keyAgrees: false }, "identity_mismatch"],
  [{ status: "revoked" }, "agent_not_allowed"],
  [{ certificateRevoked: true }, "client_certificate_invalid", "client_certificate_revoked"],
];

t.test("an agent that nothing speaks against may call", async (t) => {
  for (const status of ["active", "offline"]) t.equal(findObjection("a", { ...GOOD, status }), undefined, status);
  for (const status of ["pending", "revoked", "", "Active"]) {
    t.match(findObjection("a", { ...GOOD, status }), { code: "agent_not_allowed", agentId: "a" }, status);
  }
});

t.test("of several objections the first one is told", async (t) => {
  for (const [index, [against, code, reason]] of OBJECTIONS.entries()) {
    const later = OBJECTIONS.slice(index).map(([other]) => other);
    for (const more of later) {
      const found = findObjection("a", { ...GOOD, ...more, ...against });
      t.match(found, { code, ...(reason && { reason }), agentId: "a" }, JSON.stringify({ ...more, ...against }));
    }
  }
  t.match(findObjection("a", { ...GOOD, organisationAgrees: false, keyAgrees: false }), { message: /organisation/ });
});
