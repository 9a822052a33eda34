import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { IngestError } from "../../errors.js";
import { WatchedFiles } from "../../lib/watched-files.js";
import type { KeyEvents } from "../key-events.js";
import { describeSubject } from "../x509/read-certificate.js";

const FILE_WATCH_MS = 2_000;

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
  onChange: (certificate: ServerCertificate) => void;
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

  #replace(certificate: ServerCertificate): void {
    const { subject, notAfter } = certificate;
    if (notAfter.getTime() < Date.now()) throw unusable(`the certificate expired on ${notAfter.toISOString()}`);
    this.options.onChange(certificate);
    this.#current = certificate;
    this.options.events.serverCertificateChanged({ subject, notAfter });
  }
}

function parse([cert = "", key = ""]: readonly string[]): ServerCertificate {
  const certificate = attempt(() => new X509Certificate(cert), "INGEST_TLS_CERT is not a certificate in PEM");
  const privateKey = attempt(() => createPrivateKey(key), "INGEST_TLS_KEY is not a private key in PEM");
  if (!certificate.checkPrivateKey(privateKey)) throw unusable("the key does not belong to the certificate");
  return { cert, key, subject: describeSubject(certificate), notAfter: new Date(certificate.validTo) };
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
