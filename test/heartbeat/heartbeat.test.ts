import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { enrol, heartbeat, openLiveStream, openStream } from "../support/agents/field-agent.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";

t.test("a heartbeat brings the host online, with vitals and a time series", async (t) => {
  const service = await startTestService(t, { timing: { sessions: { inventoryPaceMs: 0 } } });
  const a = await enrol(service, await service.createToken());
  const [org] = await service.database.query("select id from organisations");
  await service.database.query(
    `insert into networks (id, organisation_id, name, cidr)
     values ('n4', $1, 'lan', '192.0.2.0/24'), ('n6', $1, 'lan6', '2001:db8::/32'), ('no', $1, 'other', '198.51.100.0/24'),
            ('bad', $1, 'bad', 'nonsense')`,
    [org?.id],
  );
  const stream = openStream(service, a);
  stream.send(heartbeat(a.jwt));
  t.match(await stream.next(), { ok: true });

  const [host] = await service.database.query(
    "select *, last_seen_at > now() - interval '1 minute' as fresh from hosts",
  );
  t.match(host, {
    status: "online",
    fresh: true,
    cpu_percent: 12.5,
    memory_percent: 40,
    disk_percent: 55.5,
    uptime_seconds: 3600,
    os: "linux",
    os_version: "Debian 12",
    arch: "amd64",
    ip_addresses: ["192.0.2.10", "2001:db8::10"],
    metadata: {
      disks: [
        {
          mount_point: "/",
          device: "/dev/vda1",
          fs_type: "ext4",
          total_bytes: 1000,
          used_bytes: 400,
          free_bytes: 600,
          percent_used: 40,
        },
      ],
      network_interfaces: [
        { name: "eth0", ip_addresses: ["192.0.2.10", "2001:db8::10"], mac_address: "02:00:00:00:00:01", is_up: true },
        { name: "eth1", ip_addresses: [], is_up: false },
      ],
    },
  });
  t.match(await service.database.query("select status, version, last_heartbeat_at is not null as seen from agents"), [
    { status: "active", version: "v1.2.3", seen: true },
  ]);
  t.match(await service.database.query("select host_id, cpu_percent, uptime_seconds from host_metrics"), [
    { host_id: host?.id, cpu_percent: 12.5, uptime_seconds: 3600 },
  ]);
  const networks = () =>
    service.database.query(
      "select network_id from host_network_memberships where auto_assigned and deleted_at is null order by network_id",
    );
  t.same(await networks(), [{ network_id: "n4" }, { network_id: "n6" }]);

  await service.database.query(`update hosts set metadata = metadata || '{"terminalEnabled":true}'`);
  await service.database.query(
    "insert into host_network_memberships (id, organisation_id, network_id, host_id) values ('byhand', $1, 'no', $2)",
    [org?.id, host?.id],
  );
  stream.send(
    heartbeat(a.agentId, {
      cpuPercent: 90,
      os: "",
      osVersion: "",
      arch: "",
      agentVersion: "",
      networkInterfaces: [{ name: "eth0", ipAddresses: ["203.0.113.5"], macAddress: "", isUp: true }],
    }),
  );
  t.match(await stream.next(), { ok: true });
  t.match(await service.database.query("select cpu_percent, os, os_version, arch, ip_addresses, metadata from hosts"), [
    {
      cpu_percent: 90,
      os: "linux",
      os_version: "Debian 12",
      arch: "amd64",
      ip_addresses: ["203.0.113.5"],
      metadata: { terminalEnabled: true, network_interfaces: [{ name: "eth0" }] },
    },
  ]);
  t.same(await networks(), [], "memberships follow the addresses");
  t.match(
    await service.database.query("select deleted_at from host_network_memberships where id = 'byhand'"),
    [{ deleted_at: null }],
    "those made by hand stay",
  );

  stream.end();
  t.match(await stream.ended, { code: Code.OK });
  await eventually(
    () => service.database.query("select a.status, h.status as host from agents a join hosts h on h.agent_id = a.id"),
    ([row]) => row?.status === "offline" && row.host === "offline",
  );
  const again = await openLiveStream(service, a);
  t.match(
    await service.database.query("select a.status, h.status as host from agents a join hosts h on h.agent_id = a.id"),
    [{ status: "active", host: "online" }],
  );
  const history = await service.database.query(
    "select status from agent_status_history order by created_at, status desc",
  );
  t.same(
    history.map(({ status }) => status),
    ["pending", "active", "offline", "active"],
  );
  again.end();
  await again.ended;
});

t.test("no value is refused: it is brought within bounds", async (t) => {
  const service = await startTestService(t, { timing: { sessions: { inventoryPaceMs: 0 } } });
  const a = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, a);
  stream.send(
    heartbeat(a.agentId, {
      cpuPercent: Number.NaN,
      memoryPercent: -5,
      diskPercent: Number.POSITIVE_INFINITY,
      uptimeSeconds: "9223372036854775807",
      osVersion: `Debian\0 ${"x".repeat(10_000)}`,
      disks: Array.from({ length: 600 }, (_, i) => ({
        mountPoint: `/mnt/\0${i}`,
        totalBytes: "18446744073709551615",
        percentUsed: 1e30,
      })),
      networkInterfaces: Array.from({ length: 600 }, (_, i) => ({
        name: `veth${i}`,
        ipAddresses: Array.from({ length: i === 0 ? 70 : 7 }, (_, j) => `not an address ${i} ${j} \0`),
      })),
    }),
  );
  t.match(await stream.next(), { ok: true });
  const [host] = await service.database.query("select * from hosts");
  t.match(host, { cpu_percent: null, memory_percent: 0, disk_percent: 100, uptime_seconds: 2_147_483_647 });
  t.equal(host?.os_version.length, 256);
  t.equal(host?.metadata.disks.length, 64);
  t.match(host?.metadata.disks[0], { mount_point: "/mnt/0", total_bytes: Number.MAX_SAFE_INTEGER, percent_used: 100 });
  t.equal(host?.metadata.network_interfaces.length, 128);
  stream.send(heartbeat(a.agentId, { uptimeSeconds: -1 }));
  t.match(await stream.next(), { ok: true });
  t.match(await service.database.query("select uptime_seconds from hosts"), [{ uptime_seconds: 0 }]);
  stream.end();
  await stream.ended;
});

t.test("only the agent's current stream may mark it offline", async (t) => {
  const first = await startTestService(t);
  const second = await startTestService(t, { of: first });
  const a = await enrol(first, await first.createToken());
  for (const instance of [first, second]) {
    const old = await openLiveStream(first, a);
    const current = await openLiveStream(instance, a);
    if (instance === first) t.match(await old.ended, { code: Code.ABORTED, details: /newer stream/ });
    else {
      old.end();
      await old.ended;
    }
    // The end of the old stream is written when a later one of the same batcher is.
    const witness = await enrol(first, await first.createToken(), {
      agentInfo: { hostname: `w-${instance.grpcPort}` },
    });
    const witnessStream = await openLiveStream(first, witness);
    witnessStream.end();
    await eventually(
      () => first.database.query("select status from agents where id = $1", [witness.agentId]),
      ([row]) => row?.status === "offline",
    );
    t.match(await first.database.query("select status from agents where id = $1", [a.agentId]), [{ status: "active" }]);
    current.end();
    await current.ended;
    await eventually(
      () => first.database.query("select status from agents where id = $1", [a.agentId]),
      ([row]) => row?.status === "offline",
    );
  }
});

t.test("every acknowledged heartbeat is a row, with 50 agents at full speed", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const agents = await Promise.all(
    Array.from({ length: 50 }, (_, i) => enrol(service, token, { agentInfo: { hostname: `host-${i}` } })),
  );
  const acknowledged = await Promise.all(
    agents.map(async (agent) => {
      const stream = openStream(service, agent);
      for (let i = 0; i < 20; i += 1) {
        stream.send(heartbeat(i === 0 ? agent.jwt : agent.agentId, { uptimeSeconds: i }));
        await stream.next();
      }
      stream.destroy();
      return 20;
    }),
  );
  const total = acknowledged.reduce((sum, count) => sum + count, 0);
  const [row] = await service.database.query("select count(*)::int, count(distinct id)::int as ids from host_metrics");
  t.same(row, { count: total, ids: total });
  await eventually(
    () => service.database.query("select count(*)::int from agents where status = 'offline'"),
    ([counted]) => counted?.count === 50,
  );
});

t.test("a host that somebody holds keeps only its own agent waiting", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const held = await enrol(service, token, { agentInfo: { hostname: "held" } });
  const free = await enrol(service, token, { agentInfo: { hostname: "free" } });
  const [heldStream, freeStream] = [await openLiveStream(service, held), await openLiveStream(service, free)];
  await service.database.query("begin");
  await service.database.query("select from hosts where hostname = 'held' for update");
  heldStream.send(heartbeat(held.agentId, { cpuPercent: 77 }));
  const answer = heldStream.next();
  let answered = false;
  void answer.then(() => {
    answered = true;
  });
  for (let i = 0; i < 5; i += 1) {
    freeStream.send(heartbeat(free.agentId));
    t.match(await freeStream.next(), { ok: true });
  }
  t.notOk(answered);
  await service.database.query("commit");
  t.match(await answer, { ok: true });
  t.match(await service.database.query("select cpu_percent from hosts where hostname = 'held'"), [{ cpu_percent: 77 }]);

  await service.database.query("update hosts set deleted_at = now() where hostname = 'held'");
  heldStream.send(heartbeat(held.agentId));
  t.match(await heldStream.ended, { code: Code.NOT_FOUND });
  freeStream.end();
  await freeStream.ended;
});

t.test("closing the service ends streams with UNAVAILABLE, and its agents have their time to come back", async (t) => {
  const service = await startTestService(t);
  const a = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, a);
  await service.close();
  t.match(await stream.ended, { code: Code.UNAVAILABLE, details: /shutting down/ });
  t.match(await service.database.query("select status from agents"), [{ status: "active" }]);
});
