import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import {
  createTestKey,
  enrol,
  heartbeat,
  openLiveStream,
  register,
  registration,
} from "../support/agents/field-agent.js";
import { AT_ONCE, callerOf, createTestSessions, rawReport, TestSessionStream } from "../support/agents/sessions.js";
import { connectTo } from "../support/database/database.js";
import { createPlatformDatabase, PLATFORM_ORGANISATION } from "../support/database/platform-database.js";
import { approveInWebApp, rejectInWebApp } from "../support/database/web-app.js";
import { startTestService } from "../support/service.js";

t.test("the web app approves while hosts with the same bridge address are online", async (t) => {
  const service = await startTestService(t, { on: await createPlatformDatabase(t) });
  const app = await connectTo(t, service.database.url);
  const online = await enrol(service, await service.createToken({ organisationSlug: "acme" }), {
    agentInfo: { hostname: "online" },
  });
  const bridge = [{ name: "docker0", ipAddresses: ["172.17.0.1"], macAddress: "", isUp: true }];
  const stream = await openLiveStream(service, online);
  stream.send(heartbeat(online.agentId, { networkInterfaces: bridge }));
  await stream.next();

  const tags = [{ key: "role", value: "db" }];
  const token = await service.createToken({ organisationSlug: "acme", autoApprove: false, tags });
  const key = createTestKey();
  const request = await registration(key, token, { tags: [{ key: "rack", value: "7" }] });
  const { agentId, status } = await register(service, request);
  t.equal(status, "pending");
  t.match(
    await service.database.query("select ip_addresses from hosts where agent_id = $1", [agentId]),
    [{ ip_addresses: null }],
    "a registration leaves the addresses to the heartbeats",
  );

  // Heartbeats run all the time, also between the web app's reading and its writing back.
  await approveInWebApp(app, agentId, async () => {
    const reply = await register(service, request);
    t.equal(reply.status, "active", "the next poll after the approval has an identity");
    const identity = {
      agentId,
      key,
      jwt: reply.jwtToken,
      certificatePem: reply.clientCertPem,
      privateKeyPem: key.privateKeyPem,
    };
    const approved = await openLiveStream(service, identity);
    t.teardown(() => approved.destroy());
  });
  t.match(
    await service.database.query("select metadata, ip_addresses, status from hosts where agent_id = $1", [agentId]),
    [
      {
        metadata: { collectionSettings: { cpu: true } },
        ip_addresses: ["192.0.2.10", "2001:db8::10"],
        status: "online",
      },
    ],
  );
  t.same(
    await service.database.query(
      `select key, value from tags join resource_tags on tag_id = tags.id
       where resource_id = (select id from hosts where agent_id = $1) order by lower(key)`,
      [agentId],
    ),
    // The platform knows "Role: DB" already: tags are the same whatever their case.
    [
      { key: "rack", value: "7" },
      { key: "Role", value: "DB" },
    ],
  );
  t.same(
    await service.database.query(
      "select status from agent_status_history where agent_id = $1 order by created_at, status desc",
      [agentId],
    ),
    [{ status: "pending" }, { status: "active" }],
  );
  stream.end();
  await stream.ended;
});

t.test("what the web app's writing back undid is back after 15 minutes, and its own keys stay", async (t) => {
  const service = await startTestService(t, { on: await createPlatformDatabase(t) });
  const agent = await enrol(service, await service.createToken({ organisationSlug: "acme" }));
  const [host] = await service.database.query("select * from hosts where agent_id = $1", [agent.agentId]);
  let now = new Date();
  const { sessions, hold } = createTestSessions(service.store, { now: () => now });
  /** Both for the session, and for the database, which decides. */
  const passTime = async (minutes: number) => {
    now = new Date(now.getTime() + minutes * 60_000);
    const earlier = "update ingest.host_inventories set written_at = written_at - make_interval(mins => $1)";
    await service.database.query(earlier, [minutes]);
  };
  const stream = new TestSessionStream();
  const caller = callerOf({ agentId: agent.agentId, organisationId: PLATFORM_ORGANISATION, hostId: host?.id });
  const held = hold({ ...caller, publicKey: agent.key.rawPem }, stream);
  const metadata = async () => {
    await stream.send(
      rawReport({
        networkInterfaces: [{ name: "eth0", ip_addresses: ["192.0.2.10"], mac_address: "", is_up: true }],
      }),
    );
    const [row] = await service.database.query("select metadata from hosts where id = $1", [host?.id]);
    return row?.metadata;
  };
  const inventory = { disks: [], network_interfaces: [{ name: "eth0" }] };
  t.match(await metadata(), inventory);
  await service.database.query("update hosts set metadata = $2 where id = $1", [
    host?.id,
    { collectionSettings: { cpu: true }, terminalEnabled: true, sshHostKeySha256: "abc" },
  ]);
  await passTime(14);
  t.notOk((await metadata()).disks, "what did not change is not written every time");
  await passTime(1);
  t.match(await metadata(), {
    ...inventory,
    collectionSettings: { cpu: true },
    terminalEnabled: true,
    sshHostKeySha256: "abc",
  });
  stream.leave();
  await held;
  await sessions.drain(AT_ONCE);
});

t.test("a rejection by the web app ends what the agent has, and nothing overwrites it", async (t) => {
  const service = await startTestService(t, { on: await createPlatformDatabase(t) });
  const app = await connectTo(t, service.database.url);
  const agent = await enrol(service, await service.createToken({ organisationSlug: "acme" }));
  const stream = await openLiveStream(service, agent);
  await rejectInWebApp(app, agent.agentId);
  stream.send(heartbeat(agent.agentId));
  t.match(await stream.ended, { code: Code.PERMISSION_DENIED });
  await service.close();
  t.match(await service.database.query("select status from agents where id = $1", [agent.agentId]), [
    { status: "revoked" },
  ]);
  t.match(
    await service.database.query(
      "select 1 as one from revoked_certificates r join agents a on a.client_cert_serial = r.serial where a.id = $1",
      [agent.agentId],
    ),
    [{ one: 1 }],
  );
  const again = await startTestService(t, { on: service.database });
  t.match(await register(again, await registration(agent.key, "")), { status: "revoked", jwtToken: "" });
});
