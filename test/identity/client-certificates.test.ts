import { X509Certificate } from "node:crypto";
import t from "tap";
import { approveAgent, revokeAgent } from "../../dist/enrolment/operators/approval.js";
import {
  forgetExpiredCertificates,
  rememberClientCertificate,
  replaceClientCertificate,
  revokeCertificatesOfRevokedAgents,
} from "../../dist/store/identity/client-certificates.js";
import { createTestKey, enrol, openLiveStream, register, registration } from "../support/agents/field-agent.js";
import {
  agentCaKey,
  forgeCertificate,
  putOnRecord,
  serialOf,
  spiffeIdOf,
} from "../support/certificates/certificates.js";
import { eventually } from "../support/eventually.js";
import { startTestService, type TestService } from "../support/service.js";

const DAY_MS = 24 * 60 * 60 * 1000;

async function rememberedSerials({ database }: TestService): Promise<string[]> {
  const rows = await database.query("select serial from ingest.client_certificates order by not_after, serial");
  return rows.map((row) => row.serial as string);
}

async function revokedSerials({ database }: TestService): Promise<string[]> {
  return (await database.query("select serial from revoked_certificates")).map((row) => row.serial as string).sort();
}

t.test("a fresh certificate is handed out again, byte for byte", async (t) => {
  const service = await startTestService(t);
  const agent = await enrol(service, await service.createToken());
  const request = await registration(agent.key, "");
  const before = await service.database.query("select * from agents");
  for (let i = 0; i < 3; i++) t.equal((await register(service, request)).clientCertPem, agent.certificatePem);
  t.same(await service.database.query("select * from agents"), before, "and nothing is written");
  t.same(await rememberedSerials(service), [serialOf(agent.certificatePem)]);
});

t.test("a certificate that an agent should not go on with is replaced", async (t) => {
  const service = await startTestService(t);
  const { agentId, key } = await enrol(service, await service.createToken());
  const caKey = await agentCaKey(service);
  const good = {
    key,
    uris: [await spiffeIdOf(service, agentId)],
    notBefore: new Date(Date.now() - 29 * DAY_MS),
    notAfter: new Date(Date.now() + 61 * DAY_MS),
  };
  const request = await registration(key, "");
  const cases: [string, Partial<typeof good> & { isCa?: boolean }, boolean][] = [
    ["more than two thirds of its life left", {}, true],
    [
      "less than two thirds left",
      { notBefore: new Date(Date.now() - 31 * DAY_MS), notAfter: new Date(Date.now() + 59 * DAY_MS) },
      false,
    ],
    ["expired", { notAfter: new Date(Date.now() - DAY_MS) }, false],
    ["another key", { key: createTestKey() }, false],
    ["another agent", { uris: [`${good.uris[0]}x`] }, false],
    ["not a client's", { isCa: true }, false],
  ];
  for (const [name, fields, isKept] of cases) {
    const certificatePem = await forgeCertificate(caKey, { ...good, ...fields });
    await putOnRecord(service, agentId, certificatePem);
    const reply = await register(service, request);
    t.equal(reply.clientCertPem === certificatePem, isKept, name);
    const [row] = await service.database.query("select client_cert_pem from agents");
    t.equal(row?.client_cert_pem, reply.clientCertPem);
  }
  await service.database.query("update agents set client_cert_pem = null, client_cert_serial = null");
  t.match(await register(service, request), { clientCertPem: /BEGIN CERTIFICATE/ }, "none on record");
});

t.test("a revoked certificate of an agent that is still active is never handed out again", async (t) => {
  const service = await startTestService(t);
  const agent = await enrol(service, await service.createToken());
  await service.database.query(
    `insert into revoked_certificates (id, organisation_id, serial)
     select 'r', organisation_id, client_cert_serial from agents`,
  );
  const reply = await register(service, await registration(agent.key, ""), agent);
  t.match(reply, { status: "active", agentId: agent.agentId });
  t.not(serialOf(reply.clientCertPem), serialOf(agent.certificatePem));
  const stream = await openLiveStream(service, { ...agent, certificatePem: reply.clientCertPem, jwt: reply.jwtToken });
  stream.end();
  await stream.ended;
});

t.test("of registrations at the same moment one signs, and all get that certificate", async (t) => {
  const service = await startTestService(t);
  const other = await startTestService(t, { of: service });
  const { agentId, key } = await enrol(service, await service.createToken());
  await service.database.query("update agents set client_cert_pem = null, client_cert_serial = null");
  await service.database.query("delete from ingest.client_certificates");
  const request = await registration(key, "");
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, i) => register(i % 2 === 0 ? service : other, request)),
  );
  t.equal(new Set(replies.map((reply) => reply.clientCertPem)).size, 1);
  t.same(await rememberedSerials(service), [serialOf(replies[0]?.clientCertPem ?? "")]);
  t.equal(replies[0]?.agentId, agentId);
});

t.test("revoking an agent revokes every certificate that has not expired", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const agent = await enrol(service, token);
  const bystander = await enrol(service, token, { agentInfo: { hostname: "bystander" } });
  const aged = await forgeCertificate(await agentCaKey(service), {
    key: agent.key,
    uris: [await spiffeIdOf(service, agent.agentId)],
    notBefore: new Date(Date.now() - 80 * DAY_MS),
    notAfter: new Date(Date.now() + 10 * DAY_MS),
  });
  // As the earlier service leaves it: on record, and not remembered anywhere else.
  await putOnRecord(service, agent.agentId, aged);
  const { clientCertPem } = await register(service, await registration(agent.key, ""));
  const held = [agent.certificatePem, aged, clientCertPem].map(serialOf).sort();
  t.equal(new Set(held).size, 3);

  await revokeAgent(service.publishing, agent.agentId, "stolen");
  t.same(await revokedSerials(service), held);
  t.notOk(held.includes(serialOf(bystander.certificatePem)));
});

t.test("an earlier certificate that the record does not know is remembered when it is presented", async (t) => {
  const service = await startTestService(t);
  const agent = await enrol(service, await service.createToken());
  const earlier = await forgeCertificate(await agentCaKey(service), {
    key: agent.key,
    uris: [await spiffeIdOf(service, agent.agentId)],
  });
  const stream = await openLiveStream(service, { ...agent, certificatePem: earlier });
  stream.end();
  await stream.ended;
  const [row] = await service.database.query(
    `select c.*, a.fingerprint_sha256 from ingest.client_certificates c, certificate_authorities a where c.serial = $1`,
    [serialOf(earlier)],
  );
  t.match(row, {
    agent_id: agent.agentId,
    issuer_fingerprint_sha256: row?.fingerprint_sha256,
    not_after: new Date(new X509Certificate(earlier).validTo),
  });
});

for (const [name, change] of [
  ["revoked", "update agents set status = 'revoked' where id = $1"],
  ["soft-deleted", "update agents set deleted_at = now() where id = $1"],
] as const) {
  t.test(`an agent that the web app has ${name} loses every certificate`, async (t) => {
    const service = await startTestService(t);
    const agent = await enrol(service, await service.createToken());
    await service.database.query("update agents set client_cert_pem = null, client_cert_serial = null");
    const reply = await register(service, await registration(agent.key, ""));
    const held = [agent.certificatePem, reply.clientCertPem].map(serialOf).sort();
    await service.database.query(change, [agent.agentId]);
    t.same(
      await eventually(
        () => revokedSerials(service),
        (serials) => serials.length === 2,
      ),
      held,
    );
    await service.database.query("update agents set status = 'pending', deleted_at = null");
    await approveAgent(service.publishing, agent.agentId);
    const again = await register(service, await registration(agent.key, ""));
    t.notOk(held.includes(serialOf(again.clientCertPem)), "let in again, it gets another one");
  });
}

t.test(
  "twenty thousand agents that were revoked before this service came are no more than it can revoke",
  async (t) => {
    const service = await startTestService(t);
    const { query } = service.database;
    const { agentId } = await enrol(service, await service.createToken());
    await query(
      `insert into agents (id, organisation_id, hostname, public_key, status, client_cert_serial)
     select 'earlier-' || n, organisation_id, 'h' || n, 'k' || n, 'revoked', 's' || n
     from agents, generate_series(1, 20000) n where id = $1`,
      [agentId],
    );
    const revoked = await revokeCertificatesOfRevokedAgents(service.store.db, { reason: "gone" });
    t.equal(revoked.length, 20_000);
    t.same(await query("select count(*)::int as serials, count(distinct id)::int as ids from revoked_certificates"), [
      { serials: 20_000, ids: 20_000 },
    ]);
  },
);

t.test("expired certificates are forgotten", async (t) => {
  const service = await startTestService(t);
  const { agentId, certificatePem } = await enrol(service, await service.createToken());
  const expired = { notBefore: new Date(0), issuerFingerprintSha256: "" };
  await rememberClientCertificate(service.store.db, agentId, {
    ...expired,
    serial: "1",
    notAfter: new Date(Date.now() - 2 * DAY_MS),
  });
  await rememberClientCertificate(service.store.db, agentId, {
    ...expired,
    serial: "2",
    notAfter: new Date(Date.now() - DAY_MS / 2),
  });
  t.equal(await forgetExpiredCertificates(service.store.db), 1);
  t.same(await rememberedSerials(service), ["2", serialOf(certificatePem)], "not before no clock takes them for good");
});

t.test("an agent that is deleted meanwhile gets no certificate, and no error either", async (t) => {
  const service = await startTestService(t);
  const { agentId, certificatePem } = await enrol(service, await service.createToken());
  const [agent] = await service.database.query("select public_key, client_cert_serial from agents");
  const certificate = {
    pem: certificatePem,
    serial: "abc",
    notBefore: new Date(),
    notAfter: new Date(),
    issuerFingerprintSha256: "",
  };
  await service.database.query("begin");
  await service.database.query("delete from hosts");
  await service.database.query("delete from agent_status_history");
  await service.database.query("delete from agents");
  const record = { publicKey: agent?.public_key, serial: agent?.client_cert_serial };
  const replaced = replaceClientCertificate(service.store.db, agentId, record, certificate);
  const remembered = rememberClientCertificate(service.store.db, agentId, certificate);
  await eventually(
    () => service.database.query("select from pg_locks where not granted"),
    (waiting) => waiting.length === 2,
  );
  await service.database.query("commit");
  t.equal(await replaced, false);
  await t.resolves(remembered);
  t.same(await rememberedSerials(service), []);
});
