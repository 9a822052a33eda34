import type { Queryable } from "../../store/database.js";
import { countAgentsByIssuer, listUnlistedCertificates } from "../../store/identity/agent-ca-dependants.js";
import { type AgentCaRecord, listAgentCaRecords } from "../../store/identity/certificate-authorities.js";
import { findIssuer } from "../client-certificates/certificate-verification.js";
import { type CaCertificate, readCaCertificate } from "../x509/ca-certificate.js";
import { readPemCertificates } from "../x509/read-certificate.js";

const PAGE_SIZE = 1_000;

/** An agent CA, and who depends on it. */
export interface AgentCaOverview extends AgentCaRecord {
  /** Agents that may call, and whose newest certificate is of this CA. */
  agents: number;
  /** When the last of these certificates expires; undefined when there is none. */
  dependedOnUntil: Date | undefined;
}

/** Every agent CA, newest first, and how many agents depend on it. */
export async function describeAgentCas(db: Queryable): Promise<AgentCaOverview[]> {
  const records = await listAgentCaRecords(db);
  const dependants = await countDependants(db, records);
  return records.map((record) => {
    const { agents = 0, until } = dependants.get(record.fingerprintSha256) ?? {};
    return { ...record, agents, dependedOnUntil: until };
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
  const issuers = records.flatMap(({ certPem }) => readable(() => readPemCertificates(certPem).map(readCaCertificate)));
  let after = "";
  for (;;) {
    const page = await listUnlistedCertificates(db, { after, limit: PAGE_SIZE });
    for (const { certPem, notAfter } of page) {
      for (const issuer of readable(() => issuersOf(certPem, issuers))) add(issuer.fingerprintSha256, 1, notAfter);
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_SIZE) return counted;
    after = last.agentId;
  }
}

function issuersOf(certPem: string, issuers: readonly CaCertificate[]): CaCertificate[] {
  const [der = Buffer.alloc(0)] = readPemCertificates(certPem);
  const issuer = findIssuer(der, issuers);
  return issuer === undefined ? [] : [issuer];
}

/** The platform's rows may hold anything, and one that is damaged must not hide the others. */
function readable<T>(read: () => T[]): T[] {
  try {
    return read();
  } catch {
    return [];
  }
}
