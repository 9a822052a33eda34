import { X509Certificate } from "node:crypto";
import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import {
  createTestCsr,
  enrol,
  heartbeat,
  openLiveStream,
  openStream,
  renewCertificate,
  type TestIdentity,
} from "../support/agents/field-agent.js";
import {
  agentCaKey,
  forgeCertificate,
  putOnRecord,
  serialOf,
  spiffeIdOf,
} from "../support/certificates/certificates.js";
import { startTestService, type TestService } from "../support/service.js";

const DAY_MS = 24 * 60 * 60 * 1000;

/** An agent whose certificate, on disk and on record, has less than a third of its life left. */
async function enrolDue(service: TestService): Promise<TestIdentity> {
  const agent = await enrol(service, await service.createToken());
  const certificatePem = await forgeCertificate(await agentCaKey(service), {
    key: agent.key,
    uris: [await spiffeIdOf(service, agent.agentId)],
    notBefore: new Date(Date.now() - 61 * DAY_MS),
    notAfter: new Date(Date.now() + 29 * DAY_MS),
  });
  await putOnRecord(service, agent.agentId, certificatePem);
  return { ...agent, certificatePem };
}

for (const status of ["active", "offline"]) {
  t.test(`an agent that is ${status} renews its certificate, and loses nothing by it`, async (t) => {
    const service = await startTestService(t);
    const agent = await enrolDue(service);
    await service.database.query("update agents set status = $1", [status]);
    const request = { agentId: agent.agentId, csrDer: createTestCsr(agent.key) };
    const reply = await renewCertificate(service, request, agent);

    const certificate = new X509Certificate(reply.clientCertPem);
    const [ca] = await service.database.query("select cert_pem, fingerprint_sha256 from certificate_authorities");
    t.ok(certificate.verify(new X509Certificate(reply.agentCaCertPem).publicKey));
    t.equal(new X509Certificate(reply.agentCaCertPem).raw.equals(new X509Certificate(ca?.cert_pem).raw), true);
    t.equal(Number(reply.clientCertNotAfterUnix), Date.parse(certificate.validTo) / 1000);
    t.ok(Date.parse(certificate.validTo) > Date.now() + 89 * DAY_MS);
    const [onRecord] = await service.database.query("select * from agents");
    t.match(onRecord, {
      status,
      public_key: agent.key.rawPem,
      client_cert_pem: reply.clientCertPem,
      client_cert_serial: serialOf(reply.clientCertPem),
      client_cert_not_after: new Date(certificate.validTo),
    });
    t.match(
      await service.database.query("select * from ingest.client_certificates where serial = $1", [
        serialOf(reply.clientCertPem),
      ]),
      [{ agent_id: agent.agentId, issuer_fingerprint_sha256: ca?.fingerprint_sha256 }],
    );

    const again = await renewCertificate(service, request, agent);
    t.same(again, reply, "the answer that was lost is given again, to the certificate that was in use");
    for (const certificatePem of [agent.certificatePem, reply.clientCertPem]) {
      const stream = await openLiveStream(service, { ...agent, certificatePem });
      stream.end();
      await stream.ended;
    }
  });
}

t.test("what is wrong with a renewal is refused, and changes nothing", async (t) => {
  const service = await startTestService(t);
  const agent = await enrolDue(service);
  const good = { agentId: agent.agentId, csrDer: createTestCsr(agent.key) };
  const before = await service.database.query("select * from agents");
  const cases: [string, object, number, RegExp][] = [
    ["no agent id", { agentId: "" }, Code.UNAUTHENTICATED, /names another agent/],
    ["no CSR", { csrDer: Buffer.alloc(0) }, Code.INVALID_ARGUMENT, /csr_der: missing/],
    ["not a CSR", { csrDer: Buffer.from("hello") }, Code.INVALID_ARGUMENT, /csr_der: not a PKCS#10/],
  ];
  for (const [name, fields, code, details] of cases) {
    await t.rejects(renewCertificate(service, { ...good, ...fields }, agent), { code, details }, name);
  }
  await t.rejects(renewCertificate(service, good), { code: Code.UNAUTHENTICATED }, "no certificate");
  t.same(await service.database.query("select * from agents"), before);

  for (const status of ["pending", "revoked"]) {
    await service.database.query("update agents set status = $1", [status]);
    await t.rejects(renewCertificate(service, good, agent), { code: Code.PERMISSION_DENIED }, status);
  }
  await service.database.query("update agents set status = 'active', deleted_at = now()");
  await t.rejects(renewCertificate(service, good, agent), { code: Code.NOT_FOUND }, "deleted");
});

t.test("an agent is not told that its identity is no good while the database is", async (t) => {
  const service = await startTestService(t);
  const agent = await enrolDue(service);
  const request = { agentId: agent.agentId, csrDer: createTestCsr(agent.key) };
  await service.database.query("alter table ingest.client_certificates rename to gone");
  await t.rejects(renewCertificate(service, request, agent), { code: Code.INTERNAL });
  const stream = openStream(service, agent);
  stream.send(heartbeat(agent.jwt));
  t.match(await stream.ended, { code: Code.INTERNAL });
});
