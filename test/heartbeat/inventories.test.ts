import t, { type Test } from "tap";
import { HeartbeatEvents } from "../../dist/heartbeat/events.js";
import { clampInventory, type RawInventory } from "../../dist/heartbeat/inventory/host-inventory.js";
import { INVENTORY_TIMING, InventoryPace } from "../../dist/heartbeat/inventory/inventory-pace.js";
import { contains, parseAddress, parseCidr } from "../../dist/lib/formats/cidr.js";
import { openDatabase } from "../../dist/store/database.js";
import { findNetworksOf } from "../../dist/store/hosts/network-memberships.js";
import { callerOf, createTestSessions, rawReport, TestSessionStream } from "../support/agents/sessions.js";
import { insertAgentRows } from "../support/database/agent-rows.js";
import { createTestDatabase } from "../support/database/database.js";
import { recordStatements } from "../support/database/statements.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";

const MINUTE_MS = 60_000;

const nic = (name: string, ...ip_addresses: string[]) => ({ name, ip_addresses, mac_address: "", is_up: true });

function disk(mount_point: string): RawInventory["disks"][number] {
  const bytes = { total_bytes: 3n, used_bytes: 2n, free_bytes: 1n };
  return { mount_point, device: mount_point, fs_type: "ext4", ...bytes, percent_used: 66 };
}

const many = <T>(count: number, of: (n: number) => T) => Array.from({ length: count }, (_, n) => of(n));

function stored({ inventory }: ReturnType<typeof clampInventory>) {
  const { disks, network_interfaces } = JSON.parse(inventory.metadata);
  return { disks, interfaces: network_interfaces, addresses: inventory.ipAddresses };
}

t.test("an inventory is cut to what an honest machine has, and what is left out is counted", async (t) => {
  const addresses = many(200, (n) => `10.0.0.${n}`);
  const honest = {
    disks: many(64, (n) => disk(`/${n}`)),
    networkInterfaces: many(128, (n) => nic(`eth${n}`, `::${n}`)),
  };
  t.equal(clampInventory(honest).cut, undefined);
  t.match(stored(clampInventory(honest)), { disks: { length: 64 }, interfaces: { length: 128 } });

  const large = clampInventory({
    disks: many(70, (n) => disk(`/${n}`)),
    networkInterfaces: [
      nic("a", ...addresses),
      nic("b", ...addresses),
      ...many(130, (n) => nic(`eth${n}`, "10.9.9.9")),
    ],
  });
  t.same(large.cut, { disks: 6, interfaces: 4, addresses: 144 + 130 });
  t.match(stored(large), { disks: { length: 64 }, interfaces: { length: 128 }, addresses: { length: 200 } });

  const long = "é".repeat(1_024);
  const heavy = clampInventory({
    disks: many(64, () => disk(long)),
    networkInterfaces: many(128, () => nic(long, long)),
  });
  t.ok(Buffer.byteLength(heavy.inventory.metadata) <= 256 * 1024 + 100, "256 KB in all");
  t.ok((heavy.cut?.disks ?? 0) > 0);
  t.equal(heavy.cut?.interfaces, 0, "addresses tell more than disks");
});

t.test("an inventory is due when anything of it changed, and not before its time", async (t) => {
  const first = { disks: [disk("/")], networkInterfaces: [nic("eth0", "10.0.0.1")] };
  let now = 0;
  const pace = new InventoryPace(INVENTORY_TIMING, () => new Date(now));
  const digest = pace.takeDue(first)?.inventory.digest ?? "";
  pace.settle(first, digest, { isStored: true, ageMs: 0 });

  const copy = (): RawInventory => structuredClone(first);
  const [{ disks: [aDisk] = [], networkInterfaces: [aNic] = [] }] = [copy()];
  if (!aDisk || !aNic) throw new Error("no inventory");
  const changed: Record<string, RawInventory> = {
    "no disk": { ...copy(), disks: [] },
    "no interface": { ...copy(), networkInterfaces: [] },
    "another address": { ...copy(), networkInterfaces: [nic("eth0", "10.0.0.2")] },
    "one address more": { ...copy(), networkInterfaces: [nic("eth0", "10.0.0.1", "10.0.0.2")] },
  };
  for (const name of Object.keys(aDisk) as (keyof typeof aDisk)[]) {
    const value = typeof aDisk[name] === "bigint" ? 9n : typeof aDisk[name] === "number" ? 9 : "other";
    changed[name] = { ...copy(), disks: [{ ...aDisk, [name]: value }] };
  }
  for (const [name, value] of Object.entries({ name: "other", mac_address: "other", is_up: false })) {
    changed[`interface ${name}`] = { ...copy(), networkInterfaces: [{ ...aNic, [name]: value }] };
  }
  t.equal(Object.keys(changed).length, 4 + 7 + 3);
  for (const [name, inventory] of Object.entries(changed)) {
    now = MINUTE_MS - 1;
    t.equal(pace.takeDue(inventory), undefined, `${name}: not within a minute`);
    now = MINUTE_MS;
    t.type(pace.takeDue(inventory)?.inventory.digest, "string", name);
  }
  now = 15 * MINUTE_MS - 1;
  t.equal(pace.takeDue(copy()), undefined, "the same");
  // The end of a text that is cut makes no difference.
  const long = { ...copy(), disks: [{ ...aDisk, device: "x".repeat(1_024) }] };
  pace.settle(long, pace.takeDue(long)?.inventory.digest ?? "", { isStored: true, ageMs: 0 });
  now += MINUTE_MS;
  t.equal(pace.takeDue({ ...copy(), disks: [{ ...aDisk, device: "x".repeat(1_025) }] }), undefined);
  now += 14 * MINUTE_MS;
  t.ok(pace.takeDue(long), "written again after a quarter of an hour");
});

t.test("what is cut is told at once, and then summed up", async (t) => {
  const { logger, lines } = createTestLog();
  const events = new HeartbeatEvents(logger, { cutsPeriodMs: 10 });
  for (let n = 0; n < 5; n++) events.inventoryCut("a", { disks: 2, interfaces: 0, addresses: 1 });
  t.match(lines, [{ msg: "an inventory was cut", agentId: "a", disks: 2, addresses: 1, heartbeats: 1 }]);
  await eventually(
    async () => lines,
    ({ length }) => length === 2,
  );
  t.match(lines[1], { agentId: "a", disks: 8, addresses: 4, heartbeats: 4 });
  for (let n = 0; n < 1_000; n++) events.inventoryCut(`agent ${n}`, { disks: 1, interfaces: 0, addresses: 0 });
  t.ok(lines.length < 110, "and never a line for each of many");
});

async function setUp(t: Test) {
  const test = await createTestDatabase(t);
  const callers = (await insertAgentRows(test, 1)).map(callerOf);
  const [caller] = callers;
  if (caller === undefined) throw new Error("no caller");
  const database = openDatabase({ url: test.url, maxConnections: 5 });
  t.teardown(() => database.close());
  const clock = { now: Date.now() };
  const { hold } = createTestSessions(database, { now: () => new Date(clock.now) });
  const open = () => {
    const stream = new TestSessionStream();
    hold(caller, stream);
    return stream;
  };
  const report = (name: string) => rawReport({ networkInterfaces: [nic(name, "192.0.2.1")] });
  const interfaceName = async () => {
    const [row] = await test.query("select metadata #>> '{network_interfaces,0,name}' as name from hosts");
    return row?.name;
  };
  /** Time goes by for the service and for the database. */
  const pass = async (ms: number) => {
    clock.now += ms;
    await test.query("update ingest.host_inventories set written_at = written_at - make_interval(secs => $1)", [
      ms / 1000,
    ]);
  };
  return { ...test, database, open, report, interfaceName, pass };
}

t.test("an inventory that changes is written once a minute at most, whatever stream it comes on", async (t) => {
  const { open, report, interfaceName, pass, query } = await setUp(t);
  const stream = open();
  await stream.send(report("first"));
  t.equal(await interfaceName(), "first");
  const statements = await recordStatements(async () => {
    for (const name of ["second", "third"]) await stream.send(report(name));
  });
  t.notOk(JSON.stringify(statements).includes("third"), "what is held back is not even sent to the database");
  t.equal(await interfaceName(), "first");
  const other = open();
  await other.send(report("fourth"));
  t.equal(await interfaceName(), "first", "nor from another stream");
  await pass(MINUTE_MS);
  await other.send(report("fifth"));
  t.equal(await interfaceName(), "fifth", "the newest one is written when the minute is over");
  await query("update hosts set ip_addresses = null");
  await open().send(report("sixth"));
  t.equal(await interfaceName(), "sixth", "a host whose addresses are not known does not wait");
  t.match(await query("select count(*)::int from host_metrics"), [{ count: 6 }], "vitals are stored all the same");
});

t.test("an inventory that did not change is written every quarter of an hour, also over several streams", async (t) => {
  const { open, report, pass, query } = await setUp(t);
  const isUndone = async () => {
    const [row] = await query("select metadata -> 'network_interfaces' is null as undone from hosts");
    return row?.undone;
  };
  await open().send(report("eth0"));
  await query("update hosts set metadata = '{}'");
  await pass(10 * MINUTE_MS);
  const stream = open();
  await stream.send(report("eth0"));
  t.ok(await isUndone(), "a new stream alone is no reason");
  await pass(5 * MINUTE_MS);
  await stream.send(report("eth0"));
  t.notOk(await isUndone());
});

t.test("the networks of a host are found as ranges are read elsewhere", async (t) => {
  const { database, query } = await setUp(t);
  const ranges = [
    ...["10.0.0.0/8", "10.1.2.3/16", "10/8", "0.0.0.0/0", "::/0", "everything", "", "2001:db8::/32", "192.0.2.7"],
    ...["::ffff:10.1.0.0/112", "::ffff:10.1.0.0/16", "10.1.0.0/33", "10.1.0.0/-1", "10.1.0.0/", "10.1.0.0/1e1"],
    ...["10.1.0.0/16/8", "fe80::1%eth0/64", "10.1", "2001:db8::zz/32", "2001:db8::/129", "256.1.1.1/8", ":/8", "1:2/3"],
  ];
  await query(
    `insert into networks (id, organisation_id, name, cidr)
     select cidr || ' ' || n, 'organisation', cidr, cidr from unnest($1::text[]) with ordinality as r(cidr, n)`,
    [ranges],
  );
  const addresses = [
    "10.1.2.3",
    "::ffff:10.1.9.9",
    "192.0.2.7",
    "2001:DB8::1%eth0",
    "10.1",
    "not an address",
    "",
    "::1",
  ];
  for (const address of addresses) {
    const parsed = parseAddress(address);
    const expected = ranges.filter((range) => {
      const cidr = parseCidr(range);
      return cidr !== undefined && parsed !== undefined && contains(cidr, parsed);
    });
    const host = { hostId: "host-1", organisationId: "organisation", ipAddresses: [address] };
    const found = await database.transaction((tx) => findNetworksOf(tx, [host]));
    t.same(found.map(({ networkId }) => networkId.split(" ")[0]).sort(), expected.sort(), address);
  }
});
