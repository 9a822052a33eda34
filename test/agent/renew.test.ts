import { Code } from "@connectrpc/connect";
import t from "tap";
import { Agent, type AgentIdentity, isRenewalDue, loadAgentKey } from "../../dist/agent/index.js";
import { enrol } from "../support/agents/field-agent.js";
import { agentCaKey, forgeCertificate, putOnRecord, spiffeIdOf } from "../support/certificates/certificates.js";
import { startTestService } from "../support/service.js";

const DAY_MS = 24 * 60 * 60 * 1000;

t.test("a certificate is due when less than a third of its life is left", async (t) => {
  const service = await startTestService(t);
  const { certificatePem } = await enrol(service, await service.createToken());
  const now = Date.now();
  t.notOk(isRenewalDue(certificatePem, now));
  t.notOk(isRenewalDue(certificatePem, now + 59 * DAY_MS));
  t.ok(isRenewalDue(certificatePem, now + 61 * DAY_MS));
  t.ok(isRenewalDue(certificatePem, now + 100 * DAY_MS));
});

t.test("an agent renews before it opens a stream, and goes on when that fails", async (t) => {
  const service = await startTestService(t);
  const { address, ca } = service;
  const { agentId, key, jwt, privateKeyPem } = await enrol(service, await service.createToken());
  const certificatePem = await forgeCertificate(await agentCaKey(service), {
    key,
    uris: [await spiffeIdOf(service, agentId)],
    notBefore: new Date(Date.now() - 61 * DAY_MS),
    notAfter: new Date(Date.now() + 29 * DAY_MS),
  });
  await putOnRecord(service, agentId, certificatePem);
  const due = {
    agentId,
    accessToken: jwt,
    certificatePem,
    privateKeyPem,
    agentCaCertificatePem: "",
    certificateNotAfter: new Date(),
  };

  /** Runs an agent until a heartbeat is acknowledged; tells what it did before. */
  const run = async (identity: AgentIdentity) => {
    const seen: { renewed?: AgentIdentity; error?: unknown; registered?: boolean } = {};
    const agent = await new Promise<Agent>((resolve) => {
      const started: Agent = new Agent({
        address,
        ca,
        key: loadAgentKey(privateKeyPem),
        token: "",
        description: { hostname: "web-01", version: "v1", os: "linux", arch: "amd64" },
        readVitals: () => ({}),
        heartbeatIntervalMs: 60_000,
        identity,
        observer: {
          onEnrolled: () => (seen.registered = true),
          onRenewed: (renewed) => (seen.renewed = renewed),
          onError: (error) => (seen.error = error),
          onAcknowledged: () => resolve(started),
        },
      });
      t.teardown(() => started.stop());
      started.start();
    });
    await agent.stop();
    return seen;
  };

  // Refused, since the certificate names another agent; the stream goes by the JWT.
  t.match(await run({ ...due, agentId: "another" }), { error: { code: Code.Unauthenticated }, renewed: undefined });
  const { renewed, ...rest } = await run(due);
  t.same(rest, {});
  const [row] = await service.database.query("select client_cert_pem, client_cert_not_after from agents");
  t.match(renewed, {
    agentId,
    accessToken: jwt,
    certificatePem: row?.client_cert_pem,
    agentCaCertificatePem: /BEGIN CERTIFICATE/,
    certificateNotAfter: row?.client_cert_not_after,
  });
  t.not(renewed?.certificatePem, certificatePem);
});
