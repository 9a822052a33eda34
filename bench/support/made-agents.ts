import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { createAgentCa, readSigningCa } from "../../dist/identity/agent-ca/signing-ca.js";
import { parseAgentPublicKey } from "../../dist/identity/agent-key.js";
import {
  issueClientCertificate,
  type SigningCa,
} from "../../dist/identity/client-certificates/issue-client-certificate.js";
import { openDatabase } from "../../dist/store/database.js";

const ROWS_AT_ONCE = 1_000;

/** An agent as a load needs it: it names itself instead of showing a JWT (`INGEST_ACCEPT_ID_WITHOUT_JWT`). */
export interface MadeAgent {
  agentId: string;
  certificatePem: string;
  privateKeyPem: string;
}

/** An agent CA whose key the benchmark has, and what a service is started with that signs with it. */
export async function makeAgentCa(directory: string): Promise<{ ca: SigningCa; env: Record<string, string> }> {
  const { certificatePem, keyPem } = await createAgentCa();
  const [certFile, keyFile] = [join(directory, "agent-ca.crt"), join(directory, "agent-ca.key")];
  await writeFile(certFile, certificatePem);
  await writeFile(keyFile, keyPem, { mode: 0o600 });
  return {
    ca: await readSigningCa(certificatePem, keyPem, "the agent CA of the benchmark"),
    env: { INGEST_AGENT_CA_CERT: certFile, INGEST_AGENT_CA_KEY: keyFile, INGEST_ACCEPT_ID_WITHOUT_JWT: "true" },
  };
}

/** Makes agents by writing them into the database: enrolling twenty thousand would take minutes. */
export async function makeAgents(databaseUrl: string, ca: SigningCa, count: number): Promise<MadeAgent[]> {
  const database = openDatabase({ url: databaseUrl, maxConnections: 1 });
  const { rows } = await database.db.execute<{ id: string }>(sql`select id from organisations limit 1`);
  const organisationId = rows[0]?.id ?? "";
  const agents: MadeAgent[] = [];
  while (agents.length < count) {
    const batch = await Promise.all(
      Array.from({ length: Math.min(ROWS_AT_ONCE, count - agents.length) }, async (_, index) => {
        const agentId = `made-${agents.length + index}`;
        const { publicKey, privateKey } = generateKeyPairSync("ed25519");
        const key = parseAgentPublicKey(publicKey.export({ format: "pem", type: "spki" }).toString());
        const certificate = await issueClientCertificate(ca, { organisationId, agentId }, key);
        const privateKeyPem = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
        return { agentId, key: key.pem, certificate, privateKeyPem };
      }),
    );
    const column = (read: (one: (typeof batch)[number]) => string) => sql.param(batch.map(read));
    await database.db.execute(sql`
      with made as (
        select * from unnest(
          ${column(({ agentId }) => agentId)}::text[], ${column(({ key }) => key)}::text[],
          ${column(({ certificate }) => certificate.pem)}::text[],
          ${column(({ certificate }) => certificate.serial)}::text[],
          ${column(({ certificate }) => certificate.issuerFingerprintSha256)}::text[],
          ${column(({ certificate }) => certificate.notBefore.toISOString())}::timestamptz[],
          ${column(({ certificate }) => certificate.notAfter.toISOString())}::timestamptz[]
        ) as m (id, key, pem, serial, issuer, not_before, not_after)
      ), agent as (
        insert into agents (id, organisation_id, hostname, public_key, status, client_cert_pem, client_cert_serial,
          client_cert_issued_at, client_cert_not_after)
        select id, ${organisationId}, id, key, 'offline', pem, serial, not_before, not_after from made returning id
      ), remembered as (
        insert into ingest.client_certificates (serial, agent_id, issuer_fingerprint_sha256, not_before, not_after)
        select serial, id, issuer, not_before, not_after from made
      )
      insert into hosts (id, organisation_id, agent_id, hostname)
      select 'host-' || id, ${organisationId}, id, id from agent`);
    agents.push(
      ...batch.map(({ agentId, certificate, privateKeyPem }) => ({
        agentId,
        certificatePem: certificate.pem,
        privateKeyPem,
      })),
    );
  }
  await database.close();
  return agents;
}
