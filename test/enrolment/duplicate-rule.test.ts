import t from "tap";
import { duplicateRefusal } from "../../dist/enrolment/duplicates/duplicate-refusal.js";
import { decideDuplicate } from "../../dist/enrolment/duplicates/duplicate-rule.js";
import { identifyingHostname } from "../../dist/enrolment/duplicates/identifying-hostname.js";
import type { HostAgent } from "../../dist/store/enrolment/host-state.js";
import type { MatchingHost } from "../../dist/store/enrolment/matching-hosts.js";

const silent: HostAgent = {
  id: "agent",
  status: "offline",
  isStreaming: false,
  hasJustRegistered: false,
  isAdopted: false,
};

function host(hostId: string, status: string, agent: Partial<HostAgent> | undefined = {}): MatchingHost {
  return {
    hostId,
    hostname: `name-${hostId}`,
    status,
    createdAt: new Date("2026-01-02"),
    wasHere: false,
    agent: agent && { ...silent, ...agent },
    hostnameMatches: true,
    matchingAddresses: [],
  };
}

const withoutAgent = (status: string): MatchingHost => ({ ...host("a", status), agent: undefined });

t.test("what the matching hosts mean", async (t) => {
  const cases: [string, MatchingHost[], string][] = [
    ["none", [], "new"],
    ["online", [host("a", "online")], "refuse a online"],
    ["online, agent active", [host("a", "online", { status: "active" })], "refuse a online"],
    ["online, without an agent", [withoutAgent("online")], "refuse a online"],
    ["offline", [host("a", "offline")], "adopt a"],
    ["unknown", [host("a", "unknown", { status: "active" })], "adopt a"],
    ["unknown, pending and silent", [host("a", "unknown", { status: "pending" })], "adopt a"],
    ["offline, without an agent", [withoutAgent("offline")], "adopt a"],
    ["offline, but a stream is live", [host("a", "offline", { isStreaming: true })], "refuse a streaming"],
    ["offline, but was here a moment ago", [{ ...host("a", "offline"), wasHere: true }], "refuse a here"],
    [
      "offline, without an agent, but seen a moment ago",
      [{ ...withoutAgent("offline"), wasHere: true }],
      "refuse a here",
    ],
    [
      "adopted, and was here a moment ago",
      [{ ...host("a", "offline", { status: "pending", isAdopted: true }), wasHere: true }],
      "refuse a adopted",
    ],
    ["offline, has just registered", [host("a", "offline", { hasJustRegistered: true })], "refuse a registered"],
    [
      "unknown, pending and has just registered",
      [host("a", "unknown", { status: "pending", hasJustRegistered: true })],
      "refuse a registered",
    ],
    ["revoked", [host("a", "offline", { status: "revoked" })], "refuse a revoked"],
    ["revoked and online", [host("a", "online", { status: "revoked" })], "refuse a revoked"],
    ["adopted, adopter silent", [host("a", "offline", { status: "pending", isAdopted: true })], "refuse a adopted"],
    [
      "adopted, adopter has just registered",
      [host("a", "offline", { status: "pending", isAdopted: true, hasJustRegistered: true })],
      "refuse a adopted",
    ],
    ["two that are not there", [host("a", "offline"), host("b", "unknown")], "ambiguous a b"],
    ["a live one decides", [host("a", "offline"), host("b", "online")], "refuse b online"],
    [
      "a live one decides over two others",
      [host("a", "offline"), host("b", "unknown", { isStreaming: true }), host("c", "offline")],
      "refuse b streaming",
    ],
  ];
  for (const [name, matching, expected] of cases) {
    for (const addressMatch of ["remark", "strict"] as const) {
      t.equal(summarise(decideDuplicate(matching, { hostname: "web", addressMatch })), expected, name);
    }
  }
});

t.test("what an address means without the hostname", async (t) => {
  const byAddress = (id: string, status: string, agent: Partial<HostAgent> = {}): MatchingHost => ({
    ...host(id, status, agent),
    hostnameMatches: false,
    matchingAddresses: ["192.0.2.1"],
  });
  const nameless = (of: MatchingHost): MatchingHost => ({ ...of, hostname: "localhost" });
  const cases: [string, MatchingHost[], strict: string, remark: string, hostname?: string][] = [
    ["online", [byAddress("a", "online")], "refuse a online", "new a"],
    ["offline", [byAddress("a", "offline")], "adopt a", "new a"],
    ["revoked", [byAddress("a", "offline", { status: "revoked" })], "refuse a revoked", "new a"],
    ["adopted", [byAddress("a", "offline", { isAdopted: true })], "refuse a adopted", "new a"],
    ["two", [byAddress("a", "offline"), byAddress("b", "offline")], "ambiguous a b", "new a b"],
    ["the name decides", [host("a", "offline"), byAddress("b", "online")], "refuse b online", "adopt a"],
    ["of two", [host("a", "online"), byAddress("b", "offline")], "refuse a online", "refuse a online"],
    ["the host has no name", [nameless(byAddress("a", "offline"))], "adopt a", "new a"],
    ["the machine has no name", [byAddress("a", "online")], "refuse a online", "new a", "localhost"],
    ["neither has", [nameless(byAddress("a", "offline"))], "adopt a", "adopt a", "unknown"],
    ["neither has, and it is there", [nameless(byAddress("a", "online"))], "refuse a online", "refuse a online", ""],
  ];
  for (const [name, matching, strict, remark, hostname = "web"] of cases) {
    t.equal(summarise(decideDuplicate(matching, { hostname, addressMatch: "strict" })), strict, `${name}, strict`);
    t.equal(summarise(decideDuplicate(matching, { hostname, addressMatch: "remark" })), remark, name);
  }
});

function summarise(decision: ReturnType<typeof decideDuplicate>): string {
  switch (decision.kind) {
    case "new":
      return ["new", ...decision.sameAddress.map(({ hostId }) => hostId)].join(" ");
    case "adopt":
      return `adopt ${decision.host.hostId}`;
    case "refuse":
      return `refuse ${decision.host.hostId} ${decision.because}`;
    case "ambiguous":
      return `ambiguous ${decision.hosts.map(({ hostId }) => hostId).join(" ")}`;
  }
}

t.test("hostnames of machines that have none never match", async (t) => {
  const nameless = [
    "",
    "unknown",
    "Unknown",
    "(none)",
    "Amnesiac",
    "ip6-localhost",
    "localhost.local",
    "localhost.(none)",
  ];
  const loopback = ["localhost", "localhost4", "localhost6"].flatMap((name) => [
    name,
    name.toUpperCase(),
    `${name}.`,
    `${name}.localdomain`,
    `${name}.localdomain.`,
    `${name}.LocalDomain4`,
    `${name}.localdomain6`,
  ]);
  for (const name of [...nameless, ...loopback]) t.equal(identifyingHostname(name), undefined, name);
  for (const name of ["web-01", "localhost.example.com", "unknown-01", "localhost7", "localhost4.corp"]) {
    t.equal(identifyingHostname(name), name);
  }
  t.equal(identifyingHostname("web-01.example.com."), "web-01.example.com", "a dot at the end is the same name");
});

t.test("a refusal names the host, what matched, why, and what to do", async (t) => {
  const taken = { ...host("h1", "online"), matchingAddresses: ["192.0.2.1"] };
  t.match(duplicateRefusal({ kind: "refuse", host: taken, because: "online" }), {
    code: "host_exists",
    message:
      /host name-h1 \(h1; same hostname, same address 192\.0\.2\.1\), which is online; .* delete that host in CT-Ops/,
  });
  const hosts = Array.from({ length: 8 }, (_, index) => host(`h${index + 1}`, "offline"));
  const { message } = duplicateRefusal({ kind: "ambiguous", hosts });
  t.match(message, /any of several hosts .* name-h1 \(h1; same hostname\); host name-h2 .*; and 3 more; delete/);
});
