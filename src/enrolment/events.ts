import type { CallLabels } from "../observe/call-labels.js";
import type { Logger } from "../observe/logger.js";
import { Metrics } from "../observe/metrics.js";

/** An agent was answered with a client certificate. */
interface CertificateEvent extends CallLabels {
  agentId: string;
  organisationId: string;
  hostname: string;
  serial: string;
  /** Whether it was signed for this; otherwise it is the one that the agent was given before. */
  newCertificate: boolean;
}

/** Where a registration came from. */
interface SourceEvent {
  remoteAddress: string;
  /** Whether the connection showed a certificate of the agent's own key; without it an old request may be repeated. */
  showedCertificate: boolean;
}

/** The business events of enrolment: each writes what is to be known of it, in one place. */
export class EnrolmentEvents {
  constructor(
    private readonly logger: Logger,
    private readonly metrics = new Metrics(),
  ) {}

  /** A key that was not known became an agent. */
  enrolled(
    event: CallLabels & {
      agentId: string;
      organisationId: string;
      hostname: string;
      status: "pending" | "active";
      tokenId: string;
      remoteAddress: string;
      /** Why it waits, where its token would have approved it. */
      remark?: string;
    },
  ): void {
    this.metrics.registrations.inc({ result: `enrolled ${event.status}` });
    this.logger.info(event, event.status === "active" ? "agent enrolled" : "agent enrolled, waiting for approval");
  }

  /** New keys could not be written together; each is tried by itself. */
  groupFailed({ registrations, error }: { registrations: number; error: unknown }): void {
    this.logger.warn(
      { registrations, err: error },
      "registrations could not be written together; writing them one by one",
    );
  }

  /** A host that was there, and its agent, went over to a key that was not known. */
  adopted(
    event: CallLabels & {
      agentId: string;
      organisationId: string;
      hostId: string;
      hostname: string;
      /** What the machine has in common with the host. */
      matched: string;
      status: "pending" | "active";
      tokenId: string;
      remoteAddress: string;
    },
  ): void {
    this.metrics.registrations.inc({ result: `adopted ${event.status}` });
    this.logger.warn(event, event.status === "active" ? "host adopted" : "host adopted, waiting for approval");
  }

  /** The adoption by a new key was undone by the key that was there before. */
  adoptionUndone(event: CallLabels & { agentId: string; organisationId: string; remoteAddress: string }): void {
    this.logger.warn(event, "the adoption of a host was undone by the agent's own key");
  }

  /** A known agent took a new JWT, and a client certificate: a new one, or the one it was given before. */
  identityIssued(event: CertificateEvent & SourceEvent): void {
    this.metrics.registrations.inc({ result: "known" });
    this.#countCertificate(event);
    this.logger.info(event, "identity issued to a known agent");
  }

  /** A calling agent asked for the certificate to go on with. */
  certificateRenewed(event: CertificateEvent): void {
    this.#countCertificate(event);
    this.logger.info(event, "client certificate renewed");
  }

  /** Certificates were revoked because their agents were, by somebody who does not know of them. */
  certificatesRevoked(event: { serials: readonly string[]; reason: string }): void {
    this.logger.info(event, "client certificates revoked");
  }

  /** The record of certificates could not be kept; it is tried again within the hour. */
  upkeepFailed({ error }: { error: unknown }): void {
    this.logger.warn({ err: error }, "certificates of revoked agents could not be looked for");
  }

  #countCertificate({ newCertificate }: CertificateEvent): void {
    if (newCertificate) this.metrics.certificatesRenewed.inc();
  }
}
