import { X509Certificate } from "node:crypto";
import type { Queryable } from "../../store/database.js";
import { countAgentsByIssuer, listUnlistedCertificates } from "../../store/identity/agent-ca-dependants.js";
import { type AgentCaRecord, listAgentCaRecords } from "../../store/identity/certificate-authorities.js";

const PAGE_SIZE = 1_000;

/** What an agent CA is there for: new certificates, those it issued, or nothing any more. */
export type AgentCaState = "signs" | "trusted" | "retired" | "expired";

/** An agent CA, and who depends on it. */
export interface AgentCaOverview extends AgentCaRecord {
  state: AgentCaState;
  /** Agents that may call, and whose newest certificate is of this CA. */
  agents: number;
  /** When the last of these certificates expires; undefined when there is none. */
  dependedOnUntil: Date | undefined;
}

/** Every agent CA, newest first, and how many agents depend on it. */
export async function describeAgentCas(db: Queryable): Promise<AgentCaOverview[]> {
  const records = await listAgentCaRecords(db);
  const dependants = await countDependants(db, records);
  const signs = records.find(({ deletedAt, retiredAt, expired }) => !deletedAt && !retiredAt && !expired);
  return records.map((record) => {
    const { agents = 0, until } = dependants.get(record.fingerprintSha256) ?? {};
    const state = record.retiredAt ? "retired" : record.expired ? "expired" : record === signs ? "signs" : "trusted";
    return { ...record, state, agents, dependedOnUntil: until };
  });
}

type Dependants = Map<string, { agents: number; until: Date }>;

async function countDependants(db: Queryable, records: readonly AgentCaRecord[]): Promise<Dependants> {
  const counted: Dependants = new Map();
  const add = (issuer: string, agents: number, until: Date) => {
    const before = counted.get(issuer);
    const latest = before !== undefined && before.until > until ? before.until : until;
    counted.set(issuer, { agents: (before?.agents ?? 0) + agents, until: latest });
  };
  for (const { issuerFingerprintSha256, agents, until } of await countAgentsByIssuer(db)) {
    add(issuerFingerprintSha256, agents, until);
  }
  const issuers = records.flatMap(({ certPem, fingerprintSha256 }) => {
    const certificate = read(certPem);
    return certificate === undefined ? [] : [{ certificate, fingerprintSha256 }];
  });
  let after = "";
  for (;;) {
    const page = await listUnlistedCertificates(db, { after, limit: PAGE_SIZE });
    for (const { certPem, notAfter } of page) {
      const issuer = findIssuer(certPem, issuers);
      if (issuer !== undefined) add(issuer, 1, notAfter);
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_SIZE) return counted;
    after = last.agentId;
  }
}

function findIssuer(
  certPem: string,
  issuers: readonly { certificate: X509Certificate; fingerprintSha256: string }[],
): string | undefined {
  const leaf = read(certPem);
  return issuers.find(({ certificate }) => leaf?.checkIssued(certificate) && leaf.verify(certificate.publicKey))
    ?.fingerprintSha256;
}

/** The platform's rows may hold anything, and one that is damaged must not hide the others. */
function read(certPem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(certPem);
  } catch {
    return undefined;
  }
}
