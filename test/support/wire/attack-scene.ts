import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ServiceError } from "@grpc/grpc-js";
import { type JWTHeaderParameters, SignJWT } from "jose";
import type { Test } from "tap";
import { insertOrganisation } from "../../../dist/store/enrolment/organisations.js";
import { enrol, heartbeat, openStream, type TestCredentials, type TestIdentity } from "../agents/field-agent.js";
import { agentCaKey, type Forgery, forgeCertificate, spiffeIdOf } from "../certificates/certificates.js";
import { startTestService, type TestService } from "../service.js";

/** Who takes part in an attack, and what there is to steal. */
export interface Scene {
  service: TestService;
  victim: TestIdentity;
  /** Enrolled as well, in the same organisation. */
  attacker: TestIdentity;
  /** Enrolled in another organisation. */
  stranger: TestIdentity;
  victimUri: string;
  organisationId: string;
  /** What nobody but the service has. */
  agentCaKey: KeyObject;
  signingKey: KeyObject;
  /** An RSA key that was never published. */
  foreignKey: KeyObject;
}

export async function setScene(t: Test): Promise<Scene> {
  const service = await startTestService(t);
  await insertOrganisation(service.store.db, { name: "Other", slug: "other" });
  const token = await service.createToken({ organisationSlug: "test" });
  const otherToken = await service.createToken({ organisationSlug: "other" });
  const victim = await enrol(service, token, { agentInfo: { hostname: "victim" } });
  const [row] = await service.database.query("select organisation_id from agents");
  return {
    service,
    victim,
    attacker: await enrol(service, token, { agentInfo: { hostname: "attacker" } }),
    stranger: await enrol(service, otherToken, { agentInfo: { hostname: "stranger" } }),
    victimUri: await spiffeIdOf(service, victim.agentId),
    organisationId: row?.organisation_id as string,
    agentCaKey: await agentCaKey(service),
    signingKey: createPrivateKey(await readFile(join(service.directory, "jwt_key.pem"), "utf8")),
    foreignKey: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey,
  };
}

/** Every row that is about the victim. */
export async function victimRows({ service, victim }: Scene): Promise<unknown> {
  const queries = [
    "select * from agents where id = $1",
    "select * from hosts where agent_id = $1 or hostname = 'victim'",
    "select * from host_metrics where host_id in (select id from hosts where agent_id = $1)",
    "select * from agent_status_history where agent_id = $1 order by id",
    "select * from ingest.client_certificates where agent_id = $1 order by serial",
    "select * from ingest.agent_sessions where agent_id = $1",
    "select * from ingest.agent_registrations where agent_id = $1",
    "select * from revoked_certificates where $1 <> '' order by serial",
  ];
  const rows = [];
  for (const query of queries) rows.push(await service.database.query(query, [victim.agentId]));
  return rows;
}

/** How the service answers. */
export type Answer = Pick<ServiceError, "code" | "details">;

/** How the service answers a stream that is opened with these credentials. */
export async function answerToStream({ service }: Scene, credentials: TestCredentials, jwt: string): Promise<Answer> {
  const stream = openStream(service, credentials);
  stream.send(heartbeat(jwt, { cpuPercent: 99 }));
  stream.end();
  return stream.ended;
}

/** How the service answers a call. */
export async function answerToCall(call: Promise<unknown>): Promise<Answer> {
  return call.then(
    () => ({ code: 0, details: "" }),
    (error: ServiceError) => error,
  );
}

/** What is wrong with a forged certificate, and who signs it if not the agent CA. */
export type CertificateForgery = Partial<Forgery> & { signer?: KeyObject; chain?: string };

/** A certificate of the victim, but for what is said, with the key to use it. */
export async function forgeVictimCertificate(
  scene: Scene,
  { signer = scene.agentCaKey, chain = "", ...fields }: CertificateForgery,
): Promise<TestCredentials> {
  const forgery = { key: scene.victim.key, uris: [scene.victimUri], ...fields };
  const certificatePem = `${await forgeCertificate(signer, forgery)}\n${chain}`;
  return { certificatePem, privateKeyPem: forgery.key.privateKeyPem };
}

/** What is wrong with a forged access token. */
export interface TokenForgery {
  header?: Partial<JWTHeaderParameters> & Record<string, unknown>;
  claims?: Record<string, unknown>;
  key?: KeyObject;
}

/** A JWT of the victim, but for what is said. */
export function forgeVictimToken(scene: Scene, { header, claims, key }: TokenForgery = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const good = { iss: "ct-ops-ingest", sub: scene.victim.agentId, org: scene.organisationId, iat: now, exp: now + 60 };
  return new SignJWT({ ...good, ...claims })
    .setProtectedHeader({ alg: "RS256", ...header })
    .sign(key ?? scene.signingKey);
}

/** A JWT of the victim with this header, signed by whatever the function does, or not at all. */
export async function resignVictimToken(
  scene: Scene,
  header: object,
  sign: (input: string) => string,
): Promise<string> {
  const [, payload] = (await forgeVictimToken(scene)).split(".");
  const input = `${Buffer.from(JSON.stringify(header)).toString("base64url")}.${payload}`;
  return `${input}.${sign(input)}`;
}
