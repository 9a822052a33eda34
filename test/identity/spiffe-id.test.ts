import t from "tap";
import { formatSpiffeId, parseSpiffeId } from "../../dist/identity/spiffe-id.js";

t.test("a SPIFFE id is read back as it was written", async (t) => {
  for (const [organisationId, agentId] of [
    ["o1", "a1"],
    ["org with spaces", "9zzz"],
    ["ärger", "a.b-c_d~e"],
    ["50%", "a?b#c:d@e"],
  ] as const) {
    const identity = { organisationId, agentId };
    t.same(parseSpiffeId(formatSpiffeId(identity)), identity);
  }
});

t.test("nothing else is one, however it could be normalised", async (t) => {
  for (const uri of [
    "",
    "spiffe://ct-ops",
    "spiffe://ct-ops/org/o1",
    "spiffe://ct-ops/org//agent/a1",
    "spiffe://ct-ops/org/o1/agent/",
    "spiffe://ct-ops/org/o1/agent/a1/",
    "spiffe://ct-ops/org/o1/agent/a1/x",
    "spiffe://ct-ops//org/o1/agent/a1",
    "spiffe://ct-ops/org/o1/host/a1",
    "spiffe://ct-ops/ORG/o1/agent/a1",
    "SPIFFE://ct-ops/org/o1/agent/a1",
    "spiffe://CT-OPS/org/o1/agent/a1",
    "spiffe://other/org/o1/agent/a1",
    "spiffe://ct-ops.example/org/o1/agent/a1",
    "spiffe://ct-ops:443/org/o1/agent/a1",
    "spiffe://user@ct-ops/org/o1/agent/a1",
    "https://ct-ops/org/o1/agent/a1",
    "spiffe://ct-ops/org/o1/agent/a1?x",
    "spiffe://ct-ops/org/o1/agent/a1#x",
    "spiffe://ct-ops/org/o1/agent/%61",
    "spiffe://ct-ops/org/o1/agent/a%2fb",
    "spiffe://ct-ops/org/o1/agent/a%2Fb",
    "spiffe://ct-ops/org/o1%2Fagent%2Fa1",
    "spiffe://ct-ops/org/../agent/a1",
    "spiffe://ct-ops/org/%2E%2E/agent/a1",
    "spiffe://ct-ops/org/o1/agent/.",
    "spiffe://ct-ops/org/x/../o1/agent/a1",
    "spiffe://ct-ops/org/o1/agent/a%00",
    "spiffe://ct-ops/org/o1/agent/a%",
    "spiffe://ct-ops/org/o1/agent/%ff",
    " spiffe://ct-ops/org/o1/agent/a1",
    "spiffe://ct-ops/org/o1/agent/a1\n",
    `spiffe://ct-ops/org/o1/agent/${"a".repeat(2048)}`,
  ]) {
    t.equal(parseSpiffeId(uri), undefined, JSON.stringify(uri.slice(0, 80)));
  }
});
