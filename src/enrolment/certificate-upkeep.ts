import type { Queryable } from "../store/database.js";
import { forgetOldKeys } from "../store/enrolment/former-keys.js";
import { forgetExpiredCertificates, revokeCertificatesOfRevokedAgents } from "../store/identity/client-certificates.js";
import { deleteNeedlessCertSignings } from "../store/identity/pending-cert-signings.js";
import type { EnrolmentEvents } from "./events.js";

const INTERVAL_MS = 60 * 60 * 1000;
const REASON = "its agent was revoked or deleted";

/**
 * Keeps the record of client certificates true to what others do. Somebody who revokes or soft-deletes an agent in the
 * platform's tables knows of its newest certificate at most: the others are revoked here, as soon as the change is
 * notified, so that they stay bad if the agent is ever let in again. What expired is forgotten, and so are CSRs that the
 * earlier service left and nobody needs, and keys of agents that were deleted long ago. All is done for all agents every
 * hour.
 */
export class CertificateUpkeep {
  readonly #agentIds = new Set<string>();
  #everything = false;
  #work: Promise<void> | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly options: { db: Queryable; events: EnrolmentEvents }) {
    this.#timer = setInterval(() => this.checkEverything(), INTERVAL_MS);
    this.#timer.unref();
  }

  checkAgent(agentId: string): void {
    this.#agentIds.add(agentId);
    this.#start();
  }

  checkEverything(): void {
    this.#everything = true;
    this.#start();
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#agentIds.clear();
    this.#everything = false;
    await this.#work;
  }

  #start(): void {
    this.#work ??= this.#run().finally(() => {
      this.#work = undefined;
    });
  }

  async #run(): Promise<void> {
    const { db, events } = this.options;
    while (this.#everything || this.#agentIds.size > 0) {
      const agentIds = this.#everything ? undefined : [...this.#agentIds];
      const forgets = this.#everything;
      this.#everything = false;
      this.#agentIds.clear();
      try {
        const serials = await revokeCertificatesOfRevokedAgents(db, { reason: REASON, ...(agentIds && { agentIds }) });
        if (serials.length > 0) events.certificatesRevoked({ serials, reason: REASON });
        if (forgets) {
          await forgetExpiredCertificates(db);
          await deleteNeedlessCertSignings(db);
          await forgetOldKeys(db);
        }
      } catch (error) {
        events.upkeepFailed({ error });
      }
    }
  }
}
