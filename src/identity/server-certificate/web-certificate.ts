import { createHash, X509Certificate } from "node:crypto";
import { WatchedFiles } from "../../lib/watched-files.js";

const FILE_WATCH_MS = 30_000;

/** The web site's certificate, which agents pin for downloads. */
export interface WebSiteCertificate {
  /** The whole file. */
  pem: string;
  /** Lower-case hex of the DER of the first certificate in it. */
  fingerprintSha256: string;
}

/** Follows the file of the web site's certificate (`INGEST_WEB_SERVER_CERT`). */
export class WebCertificateWatch {
  #current: WebSiteCertificate | undefined;
  readonly #watch: WatchedFiles;

  /** @param onProblem told once of each thing that keeps the file from being used */
  constructor(path: string, onProblem: (error: unknown) => void, intervalMs = FILE_WATCH_MS) {
    const apply = ([pem = ""]: readonly string[]) => {
      const fingerprintSha256 = createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
      this.#current = { pem, fingerprintSha256 };
    };
    this.#watch = new WatchedFiles({ paths: [path], inUse: [], apply, onProblem, intervalMs });
  }

  /** Undefined while the file has not been read. */
  get current(): WebSiteCertificate | undefined {
    return this.#current;
  }

  stop(): Promise<void> {
    return this.#watch.stop();
  }
}
