import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { IngestError } from "../../errors.js";
import { WatchedFiles } from "../../lib/watched-files.js";
import type { KeyEvents } from "../key-events.js";
import { EXTENDED_KEY_USAGE, EXTENSION_ID, readExtendedKeyUsage } from "../x509/certificate-extensions.js";
import { describeUnreadableKey } from "../x509/encrypted-key.js";
import { describeSubject, readCertificate, readPemCertificates } from "../x509/read-certificate.js";

const FILE_WATCH_MS = 2_000;
const AGENTS_KEYS = new Set(["rsa", "EC prime256v1", "EC secp384r1", "EC secp521r1", "ed25519"]);
const MAX_RSA_BITS = 8192;
const SERVER_USAGES = new Set([EXTENDED_KEY_USAGE.serverAuthentication, EXTENDED_KEY_USAGE.any]);
/** Hundreds of names. */
const MAX_BYTES = 128 * 1024;

/** A server certificate that can be used. */
export interface ServerCertificate {
  /** PEM; the server's own certificate first, then the chain. */
  cert: string;
  /** PEM. */
  key: string;
  subject: string;
  notAfter: Date;
}

/** Where the server certificate is. */
export interface ServerCertificatePaths {
  certFile: string;
  keyFile: string;
}

/**
 * Reads the server certificate and its key.
 *
 * @throws IngestError `unusable_configuration`
 */
export async function readServerCertificate({ certFile, keyFile }: ServerCertificatePaths): Promise<ServerCertificate> {
  let contents: string[];
  try {
    contents = await Promise.all([readFile(certFile, "utf8"), readFile(keyFile, "utf8")]);
  } catch (cause) {
    throw unusable((cause as Error).message, cause);
  }
  return parse(contents);
}

/** What a {@link ServerCertificateWatch} needs. */
export interface ServerCertificateWatchOptions {
  paths: ServerCertificatePaths;
  /** The pair that is in use. */
  inUse: ServerCertificate;
  /** Takes another pair into use. */
  onChange: (certificate: ServerCertificate) => Promise<void>;
  events: KeyEvents;
  /** Between two looks at the files; 2 seconds unless told otherwise. */
  fileWatchMs?: number | undefined;
}

/** Hands on the pair in the files whenever it was replaced by one that can be used. */
export class ServerCertificateWatch {
  readonly #files: WatchedFiles;
  #current: ServerCertificate;

  constructor(private readonly options: ServerCertificateWatchOptions) {
    const { paths, inUse, events, fileWatchMs = FILE_WATCH_MS } = options;
    this.#current = inUse;
    this.#files = new WatchedFiles({
      paths: [paths.certFile, paths.keyFile],
      inUse: [inUse.cert, inUse.key],
      apply: (contents) => this.#replace(parse(contents)),
      onProblem: (error) => events.serverCertificateRefused(error),
      intervalMs: fileWatchMs,
    });
  }

  /** The pair that is in use. */
  get current(): ServerCertificate {
    return this.#current;
  }

  stop(): Promise<void> {
    return this.#files.stop();
  }

  async #replace(certificate: ServerCertificate): Promise<void> {
    const { subject, notAfter } = certificate;
    if (notAfter.getTime() < Date.now()) throw unusable(`the certificate expired on ${notAfter.toISOString()}`);
    await this.options.onChange(certificate);
    this.#current = certificate;
    this.options.events.serverCertificateChanged({ subject, notAfter });
  }
}

function parse([cert = "", key = ""]: readonly string[]): ServerCertificate {
  const [certificate, extendedKeyUsage] = attempt(() => readFirst(cert), "INGEST_TLS_CERT is not a certificate in PEM");
  const privateKey = attempt(() => createPrivateKey(key), `INGEST_TLS_KEY ${describeUnreadableKey(key)}`);
  const obstacle = findObstacle(certificate.publicKey, extendedKeyUsage);
  if (obstacle !== undefined) throw unusable(`agents cannot use the certificate: ${obstacle}`);
  if (!certificate.checkPrivateKey(privateKey)) throw unusable("the key does not belong to the certificate");
  return { cert, key, subject: describeSubject(certificate), notAfter: new Date(certificate.validTo) };
}

/** The server's own certificate, and its extended key usages, if it has any. It is walked before node:crypto sees it. */
function readFirst(pem: string): [X509Certificate, string[] | undefined] {
  const { extensions } = readCertificate(readPemCertificates(pem)[0] ?? Buffer.alloc(0), MAX_BYTES);
  const usage = extensions.get(EXTENSION_ID.extendedKeyUsage);
  return [new X509Certificate(pem), usage && readExtendedKeyUsage(usage.value)];
}

/** What agents, which are written in Go, do not take, although OpenSSL does. */
function findObstacle(publicKey: KeyObject, extendedKeyUsage: readonly string[] | undefined): string | undefined {
  const { asymmetricKeyType: type = "", asymmetricKeyDetails: details = {} } = publicKey;
  const kind = type === "ec" ? `EC ${details.namedCurve}` : type;
  if (!AGENTS_KEYS.has(kind)) return `its key is ${kind}; they take RSA, EC P-256, P-384 and P-521, and Ed25519`;
  if ((details.modulusLength ?? 0) > MAX_RSA_BITS)
    return `its RSA key has ${details.modulusLength} bits, more than 8192`;
  const isForServers = extendedKeyUsage?.some((usage) => SERVER_USAGES.has(usage)) ?? true;
  return isForServers ? undefined : "its extended key usages do not include server authentication";
}

function attempt<T>(read: () => T, problem: string): T {
  try {
    return read();
  } catch (cause) {
    throw unusable(problem, cause);
  }
}

function unusable(why: string, cause?: unknown): IngestError {
  return new IngestError("unusable_configuration", `INGEST_TLS_CERT, INGEST_TLS_KEY: ${why}`, { cause });
}
