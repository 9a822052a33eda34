import { IngestError } from "../errors.js";
import type { Logger } from "../observe/logger.js";

/** What happens to the keys and certificates of the service: each writes what is to be known of it, in one place. */
export class KeyEvents {
  constructor(private readonly logger: Logger) {}

  /** A new signing key was found in its file; verifiers get to know it before it signs. */
  signingKeyAnnounced(event: { kid: string; signsInMs: number }): void {
    this.logger.info(event, "a new signing key is published, and will sign access tokens");
  }

  /** Another key signs access tokens from now on. */
  signingKeyChanged(event: { kid: string }): void {
    this.logger.info(event, "signing access tokens with a new key");
  }

  /** The key file changed, and cannot be used; the key that was in use stays. */
  signingKeyRefused(error: unknown): void {
    this.logger.error({ reason: messageOf(error) }, "the changed signing key cannot be used, the old one goes on");
  }

  /** The earlier service's signing key cannot be read: tokens it issued are not accepted. */
  earlierSigningKeyUnusable(error: unknown): void {
    this.logger.error({ reason: messageOf(error) }, "the signing key of the earlier service cannot be used");
  }

  /** The published keys could not be read or put off; what was read last goes on. */
  signingKeysNotRefreshed(error: unknown): void {
    this.logger.warn({ err: error }, "the published signing keys could not be refreshed");
  }

  /** Another agent CA signs client certificates from now on. */
  agentCaChanged(event: { fingerprintSha256: string; subject: string; notAfter: Date }): void {
    this.logger.info(event, "signing client certificates with another agent CA");
  }

  /** An agent CA cannot be used; the one that signed goes on. */
  agentCaRefused(error: unknown): void {
    this.logger.error({ reason: messageOf(error) }, "an agent CA cannot be used, the one that signed goes on");
  }

  /** The database has another agent CA that would sign, but own files are configured. */
  agentCaIgnored(event: { id: string; certFile: string }): void {
    this.logger.warn(event, "another agent CA was made active, but INGEST_AGENT_CA_CERT is set and goes on signing");
  }

  /** The agent CAs could not be read; what was read last goes on. */
  agentCasNotRefreshed(error: unknown): void {
    this.logger.warn({ err: error }, "the agent CAs could not be read again");
  }

  /** A certificate that somebody has to renew expires soon, or did. */
  certificateExpires(event: { certificate: string; notAfter: Date }): void {
    this.logger.warn(
      event,
      event.notAfter.getTime() < Date.now() ? "a certificate expired" : "a certificate expires soon",
    );
  }

  /** New connections get another server certificate. */
  serverCertificateChanged(event: { subject: string; notAfter: Date }): void {
    this.logger.info(event, "the server certificate was replaced");
  }

  /** The files of the server certificate changed, and cannot be used; the pair that was in use stays. */
  serverCertificateRefused(error: unknown): void {
    this.logger.error({ reason: messageOf(error) }, "the changed server certificate cannot be used, the old one stays");
  }
}

/** One line. Of a statement that failed, what the database said: the ORM's own message holds the statement's values. */
function messageOf(error: unknown): string {
  const told = error instanceof Error && !(error instanceof IngestError) && error.cause ? error.cause : error;
  return told instanceof Error ? told.message : String(told);
}
