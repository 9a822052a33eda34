import { agentNotFound, IngestError } from "../errors.js";
import { groupLookups } from "../lib/async/group-lookups.js";
import type { CallLabels } from "../observe/call-labels.js";
import { type CallerRecord, findCallerRecords } from "../store/agents/agents.js";
import type { Queryable } from "../store/database.js";
import { rememberClientCertificate } from "../store/identity/client-certificates.js";
import type { AgentCas } from "./agent-ca/agent-cas.js";
import { agentKeyThumbprint, isStoredKey, parseAgentPublicKey } from "./agent-key.js";
import {
  type CertificateIdentity,
  type CertificateReference,
  ISSUER_UNKNOWN,
  verifyClientCertificate,
} from "./client-certificates/certificate-verification.js";
import { verifyAccessToken } from "./signing-keys/access-token.js";
import type { SigningKeyRing } from "./signing-keys/signing-key-ring.js";
import { findObjection } from "./standing.js";

/** Thousands may come back together; a single caller does not wait. */
const PACE_MS = 20;

/** An agent that proved who it is by its client certificate. */
export interface Caller {
  agentId: string;
  organisationId: string;
  hostId: string;
  hostname: string;
  /** The key on record, which is the certificate's, in its stored form. */
  publicKey: string;
  /** The certificate it presented. */
  certificate: CertificateReference;
  call: CallLabels;
}

/** What {@link Callers} need. */
export interface CallersOptions {
  db: Queryable;
  agentCa: Pick<AgentCas, "trusted" | "refresh">;
}

/** Says who is calling. What is on record of callers that come at the same time is read together. */
export class Callers {
  readonly #findRecord: (caller: { agentId: string; serial: string }) => Promise<CallerRecord | undefined>;

  constructor(private readonly options: CallersOptions) {
    this.#findRecord = groupLookups((callers) => findCallerRecords(options.db, callers), PACE_MS);
  }

  /**
   * Who is calling, by the client certificate alone: it must stand up to verification, must not be revoked, and must
   * carry the key on record of an agent that may call.
   *
   * @throws IngestError `client_certificate_invalid`, `identity_mismatch`, `agent_not_found`, `agent_not_allowed`,
   * `agent_locked`
   */
  async identify(certificateDer: Uint8Array | undefined, call: CallLabels): Promise<Caller> {
    if (certificateDer === undefined) {
      throw new IngestError(
        "client_certificate_invalid",
        "a client certificate is needed for this call and none was presented; register to obtain one",
      );
    }
    const { db, agentCa } = this.options;
    const identity = await verify(certificateDer, agentCa);
    const { agentId, organisationId, certificate } = identity;
    const record = await this.#findRecord({ agentId, serial: certificate.serial });
    if (record === undefined) throw agentNotFound(agentId);
    const objection = findObjection(agentId, {
      status: record.status,
      organisationAgrees: record.organisationId === organisationId,
      keyAgrees: isStoredKey(record.publicKey, identity.publicKey),
      certificateRevoked: record.certificateRevoked,
      isLocked: record.isLocked,
    });
    if (objection !== undefined) throw objection;
    // The earlier service remembered only the newest of an agent's certificates.
    if (!record.certificateRemembered) await rememberClientCertificate(db, agentId, certificate);
    const { hostId, hostname, publicKey } = record;
    return { agentId, organisationId, hostId, hostname, publicKey, certificate, call };
  }
}

/** Another instance may sign with a CA that this one has not read of yet: what is trusted is read again before a no. */
async function verify(der: Uint8Array, agentCa: Pick<AgentCas, "trusted" | "refresh">): Promise<CertificateIdentity> {
  const { trusted } = agentCa;
  try {
    return verifyClientCertificate(der, trusted);
  } catch (error) {
    if (!(error instanceof IngestError) || error.reason !== ISSUER_UNKNOWN) throw error;
    await agentCa.refresh();
    if (agentCa.trusted === trusted) throw error;
    return verifyClientCertificate(der, agentCa.trusted);
  }
}

/**
 * Checks the JWT that comes with a call: good, and of the same agent as the certificate.
 *
 * @param options.mayBeExpired for calls other than heartbeats, since an agent whose stream lives for months gets no new one
 * @throws IngestError `access_token_invalid`, `identity_mismatch`
 */
export async function requireAccessToken(
  keys: SigningKeyRing,
  token: string,
  caller: Caller,
  options: { mayBeExpired?: boolean } = {},
): Promise<void> {
  const { agentId, organisationId, keyThumbprint } = await verifyAccessToken(keys, token, options);
  if (agentId !== caller.agentId || organisationId !== caller.organisationId) {
    throw new IngestError("identity_mismatch", "the access token and the client certificate name different agents");
  }
  // Tokens that the earlier service issued are bound to no key.
  if (keyThumbprint !== undefined && keyThumbprint !== agentKeyThumbprint(parseAgentPublicKey(caller.publicKey))) {
    throw new IngestError("identity_mismatch", "the access token was issued for another key than the certificate's");
  }
}
