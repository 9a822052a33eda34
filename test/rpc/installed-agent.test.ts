import { createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { status as Code } from "@grpc/grpc-js";
import { SignJWT } from "jose";
import t, { type Test } from "tap";
import { approveAgent, revokeAgent, unrevokeAgent } from "../../dist/enrolment/operators/approval.js";
import { InstalledAgent } from "../support/agents/installed-agent.js";
import { agentCaKey, forgeCertificate } from "../support/certificates/certificates.js";
import { deleteHost } from "../support/database/delete-host.js";
import { eventually } from "../support/eventually.js";
import { startTestService, type TestService } from "../support/service.js";

const DAY_MS = 24 * 60 * 60 * 1000;

/** An agent that enrolled, was approved, and holds its stream. */
async function startEnrolled(t: Test): Promise<{ service: TestService; agent: InstalledAgent; agentId: string }> {
  const service = await startTestService(t);
  const orgToken = await service.createToken({ autoApprove: false, maxUses: 1 });
  const agent = new InstalledAgent(service, { orgToken, hostname: "web-01" });
  t.teardown(() => agent.stop());
  const asked = agent.next("registered");
  agent.start();
  const { status, agentId } = await asked;
  t.equal(status, "pending");
  await agent.next("registered", (event) => event.status === "pending");
  const acknowledged = agent.next("acknowledged");
  await approveAgent(service.publishing, agentId);
  await acknowledged;
  return { service, agent, agentId };
}

/** How often it registered, by what it was answered. */
function registrations(agent: InstalledAgent): string[] {
  return agent.events.flatMap((event) => (event.kind === "registered" ? [event.status] : []));
}

/** Changes what is on its disk while its process is down, and starts it again. */
async function restart(agent: InstalledAgent, change: () => Promise<void> | void = () => {}): Promise<void> {
  await agent.stop();
  await change();
  agent.events.length = 0;
  const acknowledged = agent.next("acknowledged");
  agent.start();
  await acknowledged;
}

async function serialOnRecord({ database }: TestService): Promise<string> {
  const [row] = await database.query("select client_cert_serial from agents");
  return row?.client_cert_serial;
}

async function forgeOwn(service: TestService, agent: InstalledAgent, dates: { notBefore: Date; notAfter: Date }) {
  const [row] = await service.database.query("select id, organisation_id from agents");
  const uri = `spiffe://ct-ops/org/${row?.organisation_id}/agent/${row?.id}`;
  const caKey = await agentCaKey(service);
  return forgeCertificate(caKey, { key: agent.disk.key, uris: [uri], ...dates });
}

t.test(
  "an installed agent enrols with a token of one use, waits for its approval, and outlives its own restarts",
  async (t) => {
    const { service, agent, agentId } = await startEnrolled(t);
    t.same(new Set(registrations(agent)), new Set(["pending", "active"]));
    t.match(await service.database.query("select status from agents"), [{ status: "active" }]);
    t.match(await service.database.query("select status from hosts"), [{ status: "online" }]);

    await restart(agent);
    t.same(registrations(agent), [], "with its state file it does not register again");

    await restart(agent, () => {
      agent.disk.state = undefined;
    });
    t.same(registrations(agent), ["active"], "without, it does, with the same key");
    t.equal(agent.disk.state?.agentId, agentId);
    t.match(await service.database.query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 1 }]);
    t.match(await service.database.query("select count(*)::int from hosts"), [{ count: 1 }]);
  },
);

t.test("an installed agent whose JWT or certificate expired comes back by itself", async (t) => {
  const { service, agent, agentId } = await startEnrolled(t);
  const signingKey = createPrivateKey(await readFile(join(service.directory, "jwt_key.pem"), "utf8"));
  const [row] = await service.database.query("select organisation_id from agents");
  const expiredJwt = await new SignJWT({ org: row?.organisation_id })
    .setProtectedHeader({ alg: "RS256" })
    .setIssuer("ct-ops-ingest")
    .setSubject(agentId)
    .setIssuedAt(Math.floor(Date.now() / 1000) - 25 * 60 * 60)
    .setExpirationTime(Math.floor(Date.now() / 1000) - 60 * 60)
    .sign(signingKey);
  await restart(agent, () => {
    agent.disk.state = { agentId, jwt: expiredJwt };
  });
  t.match(agent.events[0], { kind: "stream ended", code: Code.UNAUTHENTICATED, details: /JWT.*has expired/ });
  t.match(agent.events[1], { kind: "registered", status: "active", agentId, withCertificate: true });

  const expired = { notBefore: new Date(Date.now() - 90 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };
  await restart(agent, async () => {
    agent.disk.certificatePem = await forgeOwn(service, agent, expired);
  });
  t.match(agent.events[0], { kind: "renewal failed", code: Code.UNAUTHENTICATED }, "too late to renew");
  t.match(agent.events[1], { kind: "stream ended", code: Code.UNAUTHENTICATED, details: /certificate expired on/ });
  t.match(agent.events[2], { kind: "registered", status: "active", agentId, withCertificate: true });
});

t.test("an installed agent renews, ends its process for it, and comes back with the new certificate", async (t) => {
  const { service, agent } = await startEnrolled(t);
  const due = { notBefore: new Date(Date.now() - 61 * DAY_MS), notAfter: new Date(Date.now() + 29 * DAY_MS) };
  let before = "";
  await restart(agent, async () => {
    before = await forgeOwn(service, agent, due);
    agent.disk.certificatePem = before;
  });
  t.match(agent.events.slice(0, 3), [{ kind: "renewed" }, { kind: "exited", exitCode: 0 }, { kind: "acknowledged" }]);
  t.not(agent.disk.certificatePem, before);
  t.same(registrations(agent), [], "it did not need to register");
});

t.test("an installed agent waits for a service that restarts, and goes on", async (t) => {
  const { service, agent, agentId } = await startEnrolled(t);
  agent.events.length = 0;
  const ended = agent.next("stream ended");
  await service.close();
  t.match(await ended, { code: Code.UNAVAILABLE });
  // Nobody listens.
  await agent.next("stream ended", ({ code }) => code === Code.UNAVAILABLE);
  const acknowledged = agent.next("acknowledged");
  await startTestService(t, { of: service, grpcPort: service.grpcPort });
  t.match(await acknowledged, { agentId });
  t.same(registrations(agent), [], "nothing made it doubt its identity");
  await eventually(
    () => service.database.query("select a.status, h.status as host from agents a join hosts h on h.agent_id = a.id"),
    ([row]) => row?.status === "active" && row.host === "online",
  );
});

t.test("an installed agent that is revoked stops, and comes back when that is taken back", async (t) => {
  const { service, agent, agentId } = await startEnrolled(t);
  const serial = await serialOnRecord(service);
  agent.events.length = 0;
  const exited = agent.next("exited");
  await revokeAgent(service.publishing, agentId, "lost");
  await exited;
  await agent.next("exited");
  t.match(agent.events.slice(0, 3), [
    { kind: "stream ended", code: Code.PERMISSION_DENIED, details: /is revoked/ },
    { kind: "registered", status: "revoked", agentId },
    { kind: "exited", exitCode: 1 },
  ]);
  t.notOk(
    agent.events.some(({ kind }) => kind === "acknowledged"),
    "however often it is started again",
  );
  const acknowledged = agent.next("acknowledged");
  await unrevokeAgent(service.publishing, agentId);
  await agent.next("registered", ({ status }) => status === "pending");
  await approveAgent(service.publishing, agentId);
  t.match(await acknowledged, { agentId });
  t.not(await serialOnRecord(service), serial, "with another certificate");
});

t.test("an installed agent whose host was deleted enrols anew, when an operator lets it", async (t) => {
  const { service, agent, agentId } = await startEnrolled(t);
  agent.events.length = 0;
  const exited = agent.next("exited");
  await deleteHost(service.database, agentId);
  t.match(await exited, { exitCode: 1, reason: /enrolment token cannot be used/ }, "its token is used up");
  t.match(agent.events[0], { kind: "stream ended", code: Code.NOT_FOUND });

  const acknowledged = agent.next("acknowledged");
  agent.config.orgToken = await service.createToken();
  const [{ id: newId = "" } = {}] = await eventually(
    () => service.database.query("select id from agents where status = 'pending'"),
    ({ length }) => length === 1,
  );
  t.not(newId, agentId);
  await approveAgent(service.publishing, newId);
  t.match(await acknowledged, { agentId: newId });
  t.match(await service.database.query("select id, status from agents"), [{ id: newId, status: "active" }]);
  t.match(await service.database.query("select agent_id, status from hosts"), [{ agent_id: newId, status: "online" }]);
});
