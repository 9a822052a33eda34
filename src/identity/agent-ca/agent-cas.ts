import { Refresher } from "../../lib/async/refresher.js";
import type { WatchedFiles } from "../../lib/watched-files.js";
import type { Database } from "../../store/database.js";
import { listTrustedAgentCas, type TrustedAgentCa } from "../../store/identity/certificate-authorities.js";
import type { SigningCa } from "../client-certificates/issue-client-certificate.js";
import type { KeyEvents } from "../key-events.js";
import { type CaCertificate, readCaCertificate } from "../x509/ca-certificate.js";
import { readPemCertificates } from "../x509/read-certificate.js";
import { openDatabaseCa } from "./database-ca.js";
import { openFileCa } from "./file-ca.js";
import type { SigningCaSource } from "./signing-ca.js";

/** How often {@link AgentCas} looks at what, in milliseconds. */
export interface AgentCasTiming {
  /** Between two looks at own CA files. */
  fileWatchMs: number;
  /** Between two readings of the table, whatever was notified. */
  readMs: number;
  /** Shortest time between two readings, however many certificates of unknown CAs ask for one. */
  readPaceMs: number;
  /** Until a CA in the database that could not be used is tried again. */
  retryMs: number;
}

const TIMING: AgentCasTiming = { fileWatchMs: 2_000, readMs: 5_000, readPaceMs: 1_000, retryMs: 60_000 };

/** What {@link openAgentCas} needs. */
export interface AgentCasOptions {
  database: Database;
  /** The operator's own CA; without it the newest one in the database signs, and one is made if there is none. */
  files?: { certFile: string; keyFile: string } | undefined;
  /** Encrypts the CA's key at rest; required without own files. */
  encryptionSecret?: string | undefined;
  events: KeyEvents;
  timing?: Partial<AgentCasTiming> | undefined;
}

/**
 * Opens the agent CAs; one is made where there is none. Instances that do so at the same moment end up with the same
 * one.
 *
 * @throws IngestError `unusable_configuration` when none can sign
 */
export async function openAgentCas(options: AgentCasOptions): Promise<AgentCas> {
  const { retryMs } = { ...TIMING, ...options.timing };
  const source = await (options.files === undefined
    ? openDatabaseCa({ ...options, retryMs })
    : openFileCa(options, options.files));
  const rows = await listTrustedAgentCas(options.database.db);
  return new AgentCas(options, source, await source.choose(rows, undefined), rows);
}

/** The agent CAs. What is trusted and what signs change while the service runs: read them for each call. */
export class AgentCas {
  readonly #refresher: Refresher;
  readonly #watch: WatchedFiles | undefined;
  #current: SigningCa;
  #trusted: ReadonlyMap<string, CaCertificate> = new Map();
  readonly #unreadable = new Set<string>();
  #trustedList: readonly CaCertificate[] = [];

  constructor(
    private readonly options: AgentCasOptions,
    private readonly source: SigningCaSource,
    current: SigningCa,
    rows: readonly TrustedAgentCa[],
  ) {
    const { fileWatchMs, readMs, readPaceMs } = { ...TIMING, ...options.timing };
    this.#current = current;
    this.#trust(rows);
    this.#refresher = new Refresher({
      work: () => this.#refresh(),
      intervalMs: readMs,
      paceMs: readPaceMs,
      onError: (error) => options.events.agentCasNotRefreshed(error),
    });
    this.#watch = source.watch?.(() => void this.refresh(), fileWatchMs);
  }

  /** The one that signs. One call uses one: the certificate and the CA that it hands out belong together. */
  get current(): SigningCa {
    return this.#current;
  }

  /**
   * Those whose certificates are good: the one that signs, and every earlier one that is neither expired nor retired.
   * Another array whenever that changes.
   */
  get trusted(): readonly CaCertificate[] {
    return this.#trustedList;
  }

  /** Until when certificates of the CA with this fingerprint are good; undefined when it is not trusted. */
  trustedUntil(fingerprintSha256: string): Date | undefined {
    return this.#trusted.get(fingerprintSha256)?.notAfter;
  }

  /** Reads the table again; what is notified is only a hint. Rejects when it cannot be read; it is then tried again. */
  refresh(): Promise<void> {
    return this.#refresher.now();
  }

  async close(): Promise<void> {
    await this.#watch?.stop();
    await this.#refresher.stop();
  }

  async #refresh(): Promise<void> {
    const rows = await listTrustedAgentCas(this.options.database.db);
    const chosen = await this.source.choose(rows, this.#current);
    if (chosen.fingerprintSha256 !== this.#current.fingerprintSha256) {
      this.#current = chosen;
      const { fingerprintSha256, subject, notAfter } = chosen;
      this.options.events.agentCaChanged({ fingerprintSha256, subject, notAfter });
    }
    this.#trust(rows);
  }

  #trust(rows: readonly TrustedAgentCa[]): void {
    const pems = new Map(rows.map(({ fingerprintSha256, certPem }) => [fingerprintSha256, certPem]));
    pems.set(this.#current.fingerprintSha256, this.#current.certificatePem);
    const isSame = pems.size === this.#trusted.size && [...pems.keys()].every((key) => this.#trusted.has(key));
    if (isSame) return;
    const trusted = new Map<string, CaCertificate>();
    for (const [fingerprint, pem] of pems) {
      const certificate = this.#trusted.get(fingerprint) ?? this.#read(fingerprint, pem);
      // By what the certificate is, not by what its row says: the fingerprint is what decides who has to move.
      if (certificate !== undefined) trusted.set(certificate.fingerprintSha256, certificate);
    }
    this.#trusted = trusted;
    this.#trustedList = [...trusted.values()];
  }

  #read(fingerprint: string, pem: string): CaCertificate | undefined {
    try {
      const certificates = readPemCertificates(pem).map(readCaCertificate);
      // A row may hold a chain: the fingerprint says of which one it is.
      const named = certificates.find(({ fingerprintSha256 }) => fingerprintSha256 === fingerprint) ?? certificates[0];
      if (named === undefined) throw new Error(`the agent CA ${fingerprint} is not a certificate in PEM`);
      return named;
    } catch (error) {
      if (!this.#unreadable.has(fingerprint)) this.options.events.agentCaRefused(error);
      this.#unreadable.add(fingerprint);
      return undefined;
    }
  }
}
