import { createHash, X509Certificate } from "node:crypto";
import t from "tap";
import { Callers } from "../../dist/identity/caller.js";
import { enrol } from "../support/agents/field-agent.js";
import { readCaPem } from "../support/certificates/certificates.js";
import { startTestService } from "../support/service.js";

t.test("a caller is known with the certificate it presented", async (t) => {
  const service = await startTestService(t);
  const { agentId, certificatePem } = await enrol(service, await service.createToken());
  const [ca] = await service.database.query("select cert_pem, fingerprint_sha256 from certificate_authorities");
  const trusted = [readCaPem(ca?.cert_pem)];
  const { raw } = new X509Certificate(certificatePem);
  const [agent] = await service.database.query("select * from agents");
  const callers = new Callers({ db: service.store.db, agentCa: { trusted, refresh: async () => {} } });
  t.match(await callers.identify(raw, { requestId: "one" }), {
    agentId,
    organisationId: agent?.organisation_id,
    certificate: {
      serial: agent?.client_cert_serial,
      issuerFingerprintSha256: ca?.fingerprint_sha256,
      notAfter: agent?.client_cert_not_after,
    },
  });
  t.equal(ca?.fingerprint_sha256, createHash("sha256").update(new X509Certificate(ca?.cert_pem).raw).digest("hex"));
});
