import { status as Code } from "@grpc/grpc-js";
import t, { type Test } from "tap";
import {
  enrol,
  heartbeat,
  openStream,
  register,
  registration,
  type TestAddress,
  type TestIdentity,
} from "../support/agents/field-agent.js";
import {
  agentCaKey,
  createForeignCaKey,
  forgeCertificate,
  serialOf,
  spiffeIdOf,
} from "../support/certificates/certificates.js";
import { startTestService } from "../support/service.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const TLS_VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;

/** An agent that was away for too long finds its stream refused, registers with what it has, and is back. */
async function comesBack(t: Test, service: TestAddress, stale: TestIdentity, refusal: RegExp): Promise<void> {
  const refused = openStream(service, stale);
  refused.send(heartbeat(stale.jwt));
  t.match(await refused.ended, { code: Code.UNAUTHENTICATED, details: refusal });

  const reply = await register(service, await registration(stale.key, "a token that is long gone"), stale);
  t.match(reply, { status: "active", agentId: stale.agentId }, "the same agent, and nobody had to approve it");
  t.not(serialOf(reply.clientCertPem), serialOf(stale.certificatePem));
  const stream = openStream(service, { ...stale, certificatePem: reply.clientCertPem });
  stream.send(heartbeat(reply.jwtToken));
  t.match(await stream.next(), { ok: true });
  stream.end();
  t.match(await stream.ended, { code: Code.OK });
}

for (const tlsVersion of TLS_VERSIONS) {
  t.test(`an agent whose certificate expired is back by itself (${tlsVersion})`, async (t) => {
    const service = await startTestService(t);
    const agent = await enrol(service, await service.createToken());
    const certificatePem = await forgeCertificate(await agentCaKey(service), {
      key: agent.key,
      uris: [await spiffeIdOf(service, agent.agentId)],
      notBefore: new Date(Date.now() - 100 * DAY_MS),
      notAfter: new Date(Date.now() - 10 * DAY_MS),
    });
    await service.database.query(
      "update agents set client_cert_pem = $1, client_cert_serial = $2, status = 'offline'",
      [certificatePem, serialOf(certificatePem)],
    );
    await comesBack(t, { ...service, tlsVersion }, { ...agent, certificatePem }, /certificate expired on/);
    t.match(await service.database.query("select status from agents"), [{ status: "offline" }]);
  });

  t.test(`an agent whose CA is gone is back by itself (${tlsVersion})`, async (t) => {
    const before = await startTestService(t);
    const agent = await enrol(before, await before.createToken());
    await before.close();
    await before.database.query("delete from certificate_authorities");
    const service = await startTestService(t, { of: before });
    await comesBack(t, { ...service, tlsVersion }, agent, /not issued by a trusted agent CA/);
    t.equal((await service.database.query("select from agents")).length, 1);
    t.equal((await service.database.query("select from hosts")).length, 1);
  });

  t.test(`a certificate that was never ours is no obstacle to a registration (${tlsVersion})`, async (t) => {
    const service = await startTestService(t);
    const agent = await enrol(service, await service.createToken());
    const certificatePem = await forgeCertificate(createForeignCaKey(), { key: agent.key, uris: [] });
    const presented = { ...agent, certificatePem };
    const reply = await register({ ...service, tlsVersion }, await registration(agent.key, ""), presented);
    t.match(reply, { status: "active", agentId: agent.agentId, clientCertPem: agent.certificatePem });
  });
}
