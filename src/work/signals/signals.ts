import type { WebSiteCertificate } from "../../identity/server-certificate/web-certificate.js";
import { Refresher } from "../../lib/async/refresher.js";
import type { Database } from "../../store/database.js";
import { takeUpdateOffers, type UpdateWish, withdrawUpdateOffer } from "../../store/work/update-offers.js";
import type { WorkEvents } from "../events.js";
import type { Seat } from "../seats.js";

const INTERVAL_MS = 30_000;
const PACE_MS = 1_000;
/** An agent is told of a version again after this long, when it still runs another one. */
const AGAIN_AFTER_MS = 60 * 60 * 1000;
/** How long an agent may take to come back with the new version until the next one is told in its stead. */
const BUSY_FOR_MS = 10 * 60 * 1000;
const DOWNLOAD_PATH = "/api/agent/download";
/** What builds of developers report. */
const DEVELOPMENT_VERSION = "dev";

/** What {@link Signals} need. */
export interface SignalsOptions {
  database: Database;
  events: WorkEvents;
  /** The newest released version of the agent, if one is known. */
  newestVersion: () => string | undefined;
  /** The certificate of the web site, if there is one. */
  webCertificate: () => WebSiteCertificate | undefined;
  /** Public URL of the web app; agents fetch binaries under it. */
  downloadBaseUrl: string;
  /** Agents that are told of a version at a time, over all instances. */
  concurrency: number;
  /** 30 seconds unless told otherwise. */
  intervalMs?: number | undefined;
}

interface Known {
  version: string;
  fingerprint: string;
  sentFingerprint?: string;
}

/**
 * Tells agents of a newer version of themselves, and of the web site's certificate. An agent that is told replaces
 * itself at once: so each is told seldom, and few at a time.
 */
export class Signals {
  readonly #known = new Map<Seat, Known>();
  readonly #waiting = new Set<Seat>();
  readonly #refresher: Refresher;

  constructor(private readonly options: SignalsOptions) {
    const { events, intervalMs = INTERVAL_MS } = options;
    this.#refresher = new Refresher({
      work: () => this.#offer(),
      intervalMs,
      paceMs: Math.min(PACE_MS, intervalMs),
      onError: (error) => events.failed({ what: "agents that are to be told of a newer version", error }),
    });
  }

  /** An agent reported which version it runs, and which certificate of the web site it pins. */
  report(seat: Seat, { agentVersion, pinnedFingerprint }: { agentVersion: string; pinnedFingerprint: string }): void {
    const known = this.#known.get(seat);
    if (known?.version === agentVersion && known.fingerprint === pinnedFingerprint) return;
    const now = { ...known, version: agentVersion, fingerprint: pinnedFingerprint.toLowerCase() };
    this.#known.set(seat, now);
    this.#sendCertificate(seat, now);
    if (this.#isOutdated(now)) {
      this.#waiting.add(seat);
      // What fails is reported, and tried again.
      void this.#refresher.now().catch(() => {});
    }
  }

  /** The session has ended. */
  leave(seat: Seat): void {
    this.#known.delete(seat);
    this.#waiting.delete(seat);
  }

  stop(): Promise<void> {
    return this.#refresher.stop();
  }

  #isOutdated({ version }: Known): boolean {
    const newest = this.options.newestVersion();
    if (newest === undefined || version === "" || version === DEVELOPMENT_VERSION) return false;
    return withoutPrefix(version) !== withoutPrefix(newest);
  }

  #sendCertificate(seat: Seat, known: Known): void {
    const certificate = this.options.webCertificate();
    if (certificate === undefined || known.fingerprint === certificate.fingerprintSha256) return;
    if (known.sentFingerprint === certificate.fingerprintSha256) return;
    known.sentFingerprint = certificate.fingerprintSha256;
    void seat.send({ kind: "web certificate", pem: certificate.pem }).then((isSent) => {
      if (!isSent) delete known.sentFingerprint;
    });
  }

  /** Tells as many as may be told now; the others wait for the next time. */
  async #offer(): Promise<void> {
    // The version or the certificate may have changed since an agent reported.
    for (const [seat, known] of this.#known) {
      this.#sendCertificate(seat, known);
      if (this.#isOutdated(known)) this.#waiting.add(seat);
      else this.#waiting.delete(seat);
    }
    const newest = this.options.newestVersion();
    if (newest === undefined || this.#waiting.size === 0) return;
    const { database, events, concurrency, downloadBaseUrl } = this.options;
    const byAgent = new Map([...this.#waiting].map((seat) => [seat.host.agentId, seat]));
    const wishes = [...byAgent.keys()].map((agentId) => ({ agentId, version: newest }));
    const limits = { concurrency, busyForMs: BUSY_FOR_MS, againAfterMs: AGAIN_AFTER_MS };
    const told = await database.transaction((tx) => takeUpdateOffers(tx, wishes, limits));
    for (const agentId of told) {
      const seat = byAgent.get(agentId);
      const known = seat && this.#known.get(seat);
      if (seat === undefined || known === undefined) continue;
      const downloadUrl = `${downloadBaseUrl.replace(/\/+$/, "")}${DOWNLOAD_PATH}`;
      void seat.send({ kind: "update", latestVersion: newest, downloadUrl }).then((isSent) => {
        if (isSent) events.updateOffered({ agentId, runs: known.version, offered: newest });
        else this.#withdraw({ agentId, version: newest });
      });
    }
  }

  /** It is told the next time, and not in an hour. */
  #withdraw(offer: UpdateWish): void {
    const { database, events } = this.options;
    withdrawUpdateOffer(database.db, offer).catch((error: unknown) =>
      events.failed({ what: "an agent that did not take word of a newer version", error }),
    );
  }
}

/** Manifests and agents write a version with and without a `v`. */
function withoutPrefix(version: string): string {
  return version.replace(/^v(?=\d)/, "");
}
