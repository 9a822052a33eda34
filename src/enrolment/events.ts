import type { Logger } from "../observe/logger.js";

/** The business events of enrolment: each writes what is to be known of it, in one place. */
export class EnrolmentEvents {
  constructor(private readonly logger: Logger) {}

  /** A key that was not known became an agent. */
  enrolled(event: {
    agentId: string;
    organisationId: string;
    hostname: string;
    status: "pending" | "active";
    tokenId: string;
    remoteAddress: string;
  }): void {
    this.logger.info(event, event.status === "active" ? "agent enrolled" : "agent enrolled, waiting for approval");
  }

  /** A known agent took a new JWT and client certificate. */
  identityIssued(event: { agentId: string; organisationId: string; hostname: string; serial: string }): void {
    this.logger.info(event, "identity issued to a known agent");
  }

  /** A registration was refused for its enrolment token. */
  refused(event: { reason: string; tokenHashPrefix: string; hostname: string; remoteAddress: string }): void {
    this.logger.warn(event, "registration refused");
  }
}
