import { readFile } from "node:fs/promises";
import type { Queryable } from "../../store/database.js";
import { countAgentsByIssuer, listUnlistedCertificates } from "../../store/identity/agent-ca-dependants.js";
import {
  type AgentCaRecord,
  listAgentCaRecords,
  listTrustedAgentCas,
} from "../../store/identity/certificate-authorities.js";
import { findIssuer } from "../client-certificates/certificate-verification.js";
import { type CaCertificate, readCaCertificate } from "../x509/ca-certificate.js";
import { readPemCertificates } from "../x509/read-certificate.js";
import { readStoredCa } from "./stored-ca.js";

const PAGE_SIZE = 1_000;

/** An agent CA, and who depends on it. */
export interface AgentCaOverview extends Omit<AgentCaRecord, "state"> {
  /** `unusable`: it is to sign, and cannot. */
  state: AgentCaRecord["state"] | "unusable";
  /** Why it cannot sign. */
  problem: string | undefined;
  /** Agents that may call, and whose newest certificate is of this CA. */
  agents: number;
  /** When the last of these certificates expires; undefined when there is none. */
  dependedOnUntil: Date | undefined;
}

/** What a service signs with: the CA in its file, or one in the database whose key this secret opens. */
export interface SigningSource {
  encryptionSecret?: string | undefined;
  agentCaFile?: string | undefined;
}

/** Every agent CA, newest first, what it is there for, and how many agents depend on it. */
export async function describeAgentCas(db: Queryable, source: SigningSource = {}): Promise<AgentCaOverview[]> {
  const records = await listAgentCaRecords(db);
  const dependants = await countDependants(db, records);
  const { signs, problems } = await findSigner(db, source);
  return records.map((record) => {
    const { agents = 0, until } = dependants.get(record.fingerprintSha256) ?? {};
    const problem = problems.get(record.id);
    const isTrusted = record.state === "signs" || record.state === "trusted";
    const shown = record.fingerprintSha256 === signs ? "signs" : problem === undefined ? "trusted" : "unusable";
    return { ...record, state: isTrusted ? shown : record.state, problem, agents, dependedOnUntil: until };
  });
}

/** The CA that signs, by its fingerprint, and why those that were to sign before it cannot: the service goes on with it. */
async function findSigner(db: Queryable, { encryptionSecret, agentCaFile }: SigningSource) {
  const problems = new Map<string, string>();
  if (agentCaFile !== undefined) {
    const text = await readFile(agentCaFile, "utf8").catch(() => "");
    const [signs] = readable(() => readPemCertificates(text).map((der) => readCaCertificate(der).fingerprintSha256));
    return { signs, problems };
  }
  for (const ca of await listTrustedAgentCas(db)) {
    const found = await readStoredCa(db, ca, encryptionSecret);
    // Without the secret, of what is not plainly unfit it is taken that it signs.
    if (found.kind === "fit" || found.kind === "locked") return { signs: ca.fingerprintSha256, problems };
    problems.set(ca.id, found.why);
  }
  return { signs: undefined, problems };
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
