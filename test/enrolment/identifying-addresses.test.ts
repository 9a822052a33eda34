import t from "tap";
import { parseConfig } from "../../dist/config/config.js";
import { BRIDGE_NETWORKS } from "../../dist/enrolment/duplicates/bridge-networks.js";
import { IdentifyingAddresses } from "../../dist/enrolment/duplicates/identifying-addresses.js";
import { parseCidr } from "../../dist/lib/formats/cidr.js";

t.test("addresses that tell one machine from another, in one form", async (t) => {
  const identifying = new IdentifyingAddresses(BRIDGE_NETWORKS);
  const cases: Record<string, string[]> = {
    "192.0.2.10": ["192.0.2.10"],
    "::ffff:192.0.2.10": ["192.0.2.10"],
    "2001:DB8:0::0010": ["2001:db8::10"],
    "fd00::1%eth0": ["fd00::1"],
    "127.0.0.1": [],
    "::1": [],
    "169.254.10.1": [],
    "fe80::1": [],
    "fe80::1%eth0": [],
    "224.0.0.1": [],
    "ff02::1": [],
    "0.0.0.0": [],
    "::": [],
    "255.255.255.255": [],
    "172.17.0.1": [],
    "172.17.255.254": [],
    "172.18.0.1": [],
    "172.31.0.1": [],
    "172.18.0.2": ["172.18.0.2"],
    "10.88.0.1": [],
    "10.89.0.1": [],
    "192.168.122.1": [],
    "192.168.56.1": [],
    "10.0.2.15": [],
    "10.0.3.1": [],
    "10.42.0.1": [],
    "10.244.0.0": [],
    "10.42.1.1": ["10.42.1.1"],
    "192.168.49.1": [],
    "192.168.39.1": [],
    "192.168.59.1": [],
    "192.168.63.254": [],
    "192.168.99.1": [],
    "172.28.128.3": [],
    "172.28.129.3": ["172.28.129.3"],
    "192.168.137.1": [],
    "192.168.64.1": [],
    "192.168.2.1": [],
    "192.168.2.2": ["192.168.2.2"],
    "FC00:F853:0CCD:E793::1": [],
    "fc00:f853:ccd:e794::1": ["fc00:f853:ccd:e794::1"],
    "192.168.48.1": ["192.168.48.1"],
    "": [],
    "not an address": [],
    "10.1": [],
    "192.0.2.10/24": [],
  };
  for (const [address, expected] of Object.entries(cases)) t.same(identifying.pick([address]), expected, address);
  t.same(identifying.pick(["192.0.2.2", "172.17.0.1", "192.0.2.1", "::ffff:192.0.2.2"]), ["192.0.2.2", "192.0.2.1"]);
});

t.test("the ignored ranges can be set, instead of the service's own", async (t) => {
  for (const range of BRIDGE_NETWORKS) t.ok(parseCidr(range), range);
  const base = { DATABASE_URL: "postgres://x/y", INGEST_TLS_CERT: "c", INGEST_TLS_KEY: "k", LDAP_ENCRYPTION_KEY: "s" };
  const read = (value: string) => parseConfig({ ...base, INGEST_DUPLICATE_IGNORE_CIDRS: value });
  t.match(read("10.9.0.0/16, 2001:db8::/32,192.0.2.1"), {
    config: { enrolment: { duplicateIgnoreCidrs: ["10.9.0.0/16", "2001:db8::/32", "192.0.2.1"] } },
  });
  t.match(parseConfig(base), { config: { enrolment: { adoptAutoApprove: false } } });
  for (const wrong of ["10.9.0.0/33", "10.9", "10.9.0.0/16,,", "bridges"]) {
    t.match(read(wrong), { problems: [/INGEST_DUPLICATE_IGNORE_CIDRS=.* expected ranges in CIDR notation/] }, wrong);
  }
  const identifying = new IdentifyingAddresses(["10.9.0.0/16", "2001:db8::/32", "192.0.2.1"]);
  t.same(identifying.pick(["10.9.1.1", "2001:db8::1", "192.0.2.1", "172.17.0.1"]), ["172.17.0.1"]);
});

t.test("no more than 32 addresses of a machine count", async (t) => {
  const identifying = new IdentifyingAddresses(BRIDGE_NETWORKS);
  const many = Array.from({ length: 40 }, (_, n) => `192.0.2.${n}`);
  t.same(identifying.pick(["127.0.0.1", ...many]), many.slice(0, 32));
  t.same(identifying.pick([`${"0".repeat(100)}:1`, "192.0.2.1"]), ["192.0.2.1"]);
  const past = Array.from({ length: 200_000 }, () => "172.17.0.1");
  t.same(identifying.pick([...past, "192.0.2.1"]), [], "of very many the last ones are not looked at");
});
