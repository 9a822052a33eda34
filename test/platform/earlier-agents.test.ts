import { createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { status as Code } from "@grpc/grpc-js";
import { SignJWT } from "jose";
import t from "tap";
import { approveAgent } from "../../dist/enrolment/operators/approval.js";
import {
  createTestKey,
  heartbeat,
  openLiveStream,
  openStream,
  register,
  registration,
} from "../support/agents/field-agent.js";
import { connectTo } from "../support/database/database.js";
import {
  addEarlierAgent,
  createPlatformDatabase,
  PLATFORM_ORGANISATION,
} from "../support/database/platform-database.js";
import { approveInWebApp, deleteHostInWebApp } from "../support/database/web-app.js";
import { eventually } from "../support/eventually.js";
import { startTestService, type TestService } from "../support/service.js";

async function waitingCsrs({ database }: TestService, agentId: string): Promise<number> {
  const [row] = await database.query("select count(*)::int from pending_cert_signings where agent_id = $1", [agentId]);
  return row?.count;
}

t.test("agents of the earlier service come back by themselves", async (t) => {
  const service = await startTestService(t, { on: await createPlatformDatabase(t) });
  const signingKey = createPrivateKey(await readFile(join(service.directory, "jwt_key.pem")));
  for (const status of ["active", "offline"] as const) {
    for (const id of [`0${status}d92mfk20slq8vn4b`, `k${status}d92mfk20slq8vn4b`]) {
      const key = createTestKey();
      await addEarlierAgent(service.database, { id, key, status, hostId: `8host-${id}` });

      // Its first try is with what it has: no certificate, and a token without kid that expired.
      const jwt = await new SignJWT({ org: PLATFORM_ORGANISATION })
        .setProtectedHeader({ alg: "RS256", typ: "JWT" })
        .setIssuer("ct-ops-ingest")
        .setSubject(id)
        .setIssuedAt(Math.floor(Date.now() / 1000) - 90_000)
        .setExpirationTime(Math.floor(Date.now() / 1000) - 3_600)
        .sign(signingKey);
      const refused = openStream(service);
      refused.send(heartbeat(jwt));
      t.match(await refused.ended, { code: Code.UNAUTHENTICATED }, `${id} is sent to register`);

      // Its enrolment token was used up long ago.
      const reply = await register(service, await registration(key, "ctops_used"));
      t.match(reply, { agentId: id, status: "active", jwtToken: /^ey/, clientCertPem: /^-----BEGIN CERTIFICATE/ });
      const identity = { certificatePem: reply.clientCertPem, privateKeyPem: key.privateKeyPem };
      const expired = openStream(service, identity);
      expired.send(heartbeat(jwt));
      t.match(await expired.ended, { code: Code.UNAUTHENTICATED }, "an expired token opens no stream");
      const stream = await openLiveStream(service, { agentId: id, key, jwt: reply.jwtToken, ...identity });
      t.match(
        await service.database.query(
          "select a.status, h.id, h.status as host from agents a join hosts h on h.agent_id = a.id where a.id = $1",
          [id],
        ),
        [{ status: "active", id: `8host-${id}`, host: "online" }],
        "same agent, same host",
      );
      stream.end();
      await stream.ended;
    }
  }
});

t.test("a CSR that waited is honoured at the next poll after the approval, and removed", async (t) => {
  const service = await startTestService(t, { on: await createPlatformDatabase(t) });
  const app = await connectTo(t, service.database.url);
  const approvals = {
    "0webapp4d92mfk20slq8vn4b": (id: string) => approveInWebApp(app, id),
    k0cli234d92mfk20slq8vn4b: (id: string) => approveAgent(service.publishing, id),
  };
  for (const [id, approve] of Object.entries(approvals)) {
    const key = createTestKey();
    await addEarlierAgent(service.database, { id, key, status: "pending", hostId: `8host-${id}`, csrWaits: true });
    await approve(id);
    if (id.startsWith("k0cli")) t.equal(await waitingCsrs(service, id), 0, "removed by the approval");
    const reply = await register(service, await registration(key, ""));
    t.match(reply, { agentId: id, status: "active", clientCertPem: /^-----BEGIN CERTIFICATE/ });
    t.equal(await waitingCsrs(service, id), 0);
  }
});

t.test("a poll removes the CSR that would make the web app's deletion fail", async (t) => {
  const service = await startTestService(t, { on: await createPlatformDatabase(t) });
  const app = await connectTo(t, service.database.url);
  for (const status of ["pending", "active", "revoked"] as const) {
    const key = createTestKey();
    const id = `5${status}4d92mfk20slq8vn4b`;
    await addEarlierAgent(service.database, { id, key, status, hostId: `8host-${id}`, csrWaits: true });
    // Of the others it may have been removed already.
    if (status === "pending") await t.rejects(deleteHostInWebApp(app, `8host-${id}`), { code: "23503" });
    t.match(await register(service, await registration(key, "")), { status });
    await t.resolves(deleteHostInWebApp(app, `8host-${id}`), `${status}: can be deleted`);
  }
});

t.test("a CSR that nobody needs is removed, whether its agent comes back or not", async (t) => {
  const database = await createPlatformDatabase(t);
  for (const status of ["pending", "active", "offline", "revoked"] as const) {
    const key = createTestKey();
    await addEarlierAgent(database, { id: `agent-${status}`, key, status, hostId: `host-${status}`, csrWaits: true });
  }
  await startTestService(t, { on: database });
  const waiting = await eventually(
    () => database.query("select agent_id from pending_cert_signings where agent_id like 'agent-%'"),
    ({ length }) => length < 2,
  );
  t.same(waiting, [{ agent_id: "agent-pending" }]);
});
