import { createHash, X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { openLiveStream, register, registration, type TestIdentity } from "../agents/field-agent.js";
import type { TestService } from "../service.js";
import type { TestCa } from "./agent-cas.js";

const LIFETIME_MS = 1000 * 60 * 60 * 1000;

/** Writes a CA where a service reads its own. */
export async function writeCa(files: { certFile: string; keyFile: string }, ca: TestCa): Promise<void> {
  await Promise.all([writeFile(files.certFile, ca.certificatePem), writeFile(files.keyFile, ca.keyPem)]);
}

/** As `certificate_authorities` has it. */
export function fingerprint(pem: string): string {
  return createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
}

/** The CA that the service signs with, as an agent that registers again gets to know it. */
export async function signs(service: TestService, { key }: TestIdentity): Promise<string> {
  const reply = await register(service, await registration(key, ""));
  const leaf = new X509Certificate(reply.clientCertPem);
  const ca = new X509Certificate(reply.agentCaCertPem);
  if (!leaf.verify(ca.publicKey)) throw new Error("the certificate is not of the CA that came with it");
  return fingerprint(reply.agentCaCertPem);
}

/** Registers again, with the key it has. */
export async function registerAgain(service: TestService, identity: TestIdentity): Promise<TestIdentity> {
  const reply = await register(service, await registration(identity.key, ""));
  return { ...identity, jwt: reply.jwtToken, certificatePem: reply.clientCertPem };
}

/** Opens a stream with this identity, and ends it. */
export async function opens(service: TestService, identity: TestIdentity): Promise<void> {
  const stream = await openLiveStream(service, identity);
  stream.end();
  await stream.ended;
}

/** Stores a CA as the web app does when one is uploaded: a new row, the old one soft-deleted. */
export async function upload(
  service: Pick<TestService, "database">,
  ca: { certificatePem: string; sealedKey: string },
): Promise<string> {
  const { notBefore, notAfter } = { notBefore: new Date(), notAfter: new Date(Date.now() + LIFETIME_MS) };
  await service.database.query(
    `with old as (update certificate_authorities set deleted_at = now() where deleted_at is null)
     insert into certificate_authorities
       (id, purpose, cert_pem, key_pem_encrypted, source, fingerprint_sha256, not_before, not_after)
     values ('ca-' || substr($3, 1, 10), 'agent_ca', $1, $2, 'byo', $3, $4, $5)`,
    [ca.certificatePem, ca.sealedKey, fingerprint(ca.certificatePem), notBefore, notAfter],
  );
  return fingerprint(ca.certificatePem);
}
