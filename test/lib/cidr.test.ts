import t from "tap";
import { contains, parseAddress, parseCidr } from "../../dist/lib/formats/cidr.js";

t.test("what is an address, in one form", async (t) => {
  const forms: Record<string, string | undefined> = {
    "192.0.2.10": "192.0.2.10",
    "::ffff:192.0.2.10": "192.0.2.10",
    "2001:DB8:0::00AB": "2001:db8::ab",
    "fe80::1%eth0": "fe80::1",
    "10.1": undefined,
    "10.1.2": undefined,
    "0x7f.1": undefined,
    "010.1.2.3": undefined,
    "2130706433": undefined,
    "192.0.2.10/24": undefined,
    " 192.0.2.10": undefined,
    "": undefined,
  };
  for (const [text, expected] of Object.entries(forms)) t.equal(parseAddress(text)?.toString(), expected, text);
});

t.test("what is a range, and what it holds", async (t) => {
  const cases: [range: string, address: string, holds: boolean | undefined][] = [
    ["10.1.0.0/16", "10.1.2.3", true],
    ["10.1.0.0/16", "10.2.0.1", false],
    ["10.1.0.0/16", "::ffff:10.1.2.3", true],
    ["::ffff:10.1.0.0/112", "10.1.2.3", true],
    ["0.0.0.0/0", "10.1.2.3", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["2001:db8::/32", "2001:DB8::AB", true],
    ["192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "192.0.2.2", false],
    ["10.1/16", "10.1.2.3", undefined],
    ["10.1", "10.0.0.1", undefined],
    ["::ffff:10.1.0.0/16", "10.1.2.3", undefined],
    ["10.1.0.0/33", "10.1.2.3", undefined],
    ["10.1.0.0/-1", "10.1.2.3", undefined],
    ["10.1.0.0/", "10.1.2.3", undefined],
    ["10.1.0.0/1e1", "10.1.2.3", undefined],
    ["10.1.0.0/16/8", "10.1.2.3", undefined],
    ["fe80::1%eth0/64", "fe80::1", undefined],
    ["office", "10.1.2.3", undefined],
  ];
  for (const [range, address, holds] of cases) {
    const cidr = parseCidr(range);
    const parsed = parseAddress(address);
    t.equal(cidr && parsed && contains(cidr, parsed), holds, `${range} ${address}`);
  }
});
