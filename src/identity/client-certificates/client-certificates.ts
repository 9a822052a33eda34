import { groupLookups } from "../../lib/async/group-lookups.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { type EventBody, publishEvents } from "../../outbox/publish-events.js";
import {
  type CertificateOnRecord,
  findCertificatesOnRecord,
  rememberClientCertificate,
  replaceClientCertificate,
} from "../../store/identity/client-certificates.js";
import { type AgentPublicKey, isStoredKey } from "../agent-key.js";
import type { SpiffeIdentity } from "../spiffe-id.js";
import type { CaCertificate } from "../x509/ca-certificate.js";
import { readPemCertificates } from "../x509/read-certificate.js";
import { type CertificateReference, verifyClientCertificate } from "./certificate-verification.js";
import { type IssuedCertificate, issueClientCertificate, type SigningCa } from "./issue-client-certificate.js";

/** A certificate with more of its life left than this is handed out again instead of a new one. */
const FRESH_SHARE = 2 / 3;
/** Least time between two lookups, in milliseconds; a single one still goes at once. */
const PACE_MS = 20;

/** The agent CAs as they are at the moment of a look. */
export interface PresentAgentCas {
  /** The one that signs. */
  readonly current: SigningCa;
  /** Those whose certificates are good. */
  readonly trusted: readonly CaCertificate[];
}

/** The certificate that an agent is to use. */
export interface ObtainedCertificate
  extends Pick<IssuedCertificate, "pem" | "serial" | "notAfter" | "agentCaCertificatePem"> {
  /** Whether it was signed just now; otherwise it is the one that the agent was given before. */
  isNew: boolean;
}

/** Decides which client certificate an agent has, and keeps the record of all that are good. */
export class ClientCertificates {
  readonly #findOnRecord: (agentId: string) => Promise<CertificateOnRecord | undefined>;

  constructor(private readonly options: PublishingDatabase & { agentCa: PresentAgentCas }) {
    const { db } = options.database;
    this.#findOnRecord = groupLookups((agentIds) => findCertificatesOnRecord(db, agentIds), PACE_MS);
  }

  /** Signs the first certificate of an agent. It is for the caller to put on record, with the agent. */
  issue(identity: SpiffeIdentity, publicKey: AgentPublicKey): Promise<IssuedCertificate> {
    return issueClientCertificate(this.options.agentCa.current, identity, publicKey);
  }

  /**
   * The certificate that an agent is to use from now on. The one on record while it would be accepted, was signed by
   * the CA that signs now, and is fresh: so an answer that was lost is given again, and an agent that asks over and over
   * does not grow the list of what is to be revoked with it. Otherwise a new one; those before stay good until they
   * expire. Of requests at the same moment one signs, and all get that one.
   *
   * @param occasion what a new one is published as
   * @returns undefined when the agent may not have one (any more): its status, its key, or that it exists changed
   */
  async obtain(
    holder: SpiffeIdentity & { hostname: string },
    publicKey: AgentPublicKey,
    occasion: "certificate.issued" | "certificate.renewed",
  ): Promise<ObtainedCertificate | undefined> {
    const { database, agentCa } = this.options;
    const { db } = database;
    const { agentId, organisationId } = holder;
    const identity = { agentId, organisationId };
    for (;;) {
      const ca = agentCa.current;
      const onRecord = await this.#findOnRecord(agentId);
      if (onRecord === undefined || !isStoredKey(onRecord.publicKey, publicKey)) return undefined;
      const { pem } = onRecord;
      const good = pem === null ? undefined : findGood(pem, onRecord, { ...identity, publicKey }, agentCa.trusted);
      if (good !== undefined && !onRecord.isRemembered) await rememberClientCertificate(db, agentId, good);
      if (pem !== null && good?.issuerFingerprintSha256 === ca.fingerprintSha256 && isFresh(good)) {
        const { serial, notAfter } = good;
        return { pem, serial, notAfter, agentCaCertificatePem: ca.certificatePem, isNew: false };
      }
      const issued = await issueClientCertificate(ca, identity, publicKey);
      if (await this.#replace(holder, onRecord, issued, occasion)) return { ...issued, isNew: true };
      // What is on record changed meanwhile.
    }
  }

  #replace(
    { agentId, organisationId, hostname }: SpiffeIdentity & { hostname: string },
    onRecord: CertificateOnRecord,
    issued: IssuedCertificate,
    occasion: "certificate.issued" | "certificate.renewed",
  ): Promise<boolean> {
    const { database, outbox } = this.options;
    return outbox.transaction(database, async (tx, outgoing) => {
      const isReplaced = await replaceClientCertificate(tx, agentId, onRecord, issued);
      if (isReplaced)
        publishEvents(outgoing, occasion, () => [describeCertificate(organisationId, agentId, hostname, issued)]);
      return isReplaced;
    });
  }
}

/** What is published of a certificate that was issued. */
export function describeCertificate(
  organisationId: string,
  agentId: string,
  hostname: string,
  { serial, notAfter }: Pick<IssuedCertificate, "serial" | "notAfter">,
): EventBody<"certificate.issued"> {
  return { org_id: organisationId, agent_id: agentId, hostname, serial, not_after: notAfter.toISOString() };
}

/** The certificate on record, if a call that presents it would be accepted. */
function findGood(
  pem: string,
  { serial, isRevoked }: CertificateOnRecord,
  holder: SpiffeIdentity & { publicKey: AgentPublicKey },
  trusted: readonly CaCertificate[],
): CertificateReference | undefined {
  if (isRevoked) return undefined;
  try {
    const [der = Buffer.alloc(0)] = readPemCertificates(pem);
    const { agentId, organisationId, publicKey, certificate } = verifyClientCertificate(der, trusted);
    const isHolders =
      agentId === holder.agentId && organisationId === holder.organisationId && publicKey.pem === holder.publicKey.pem;
    return isHolders && certificate.serial === serial ? certificate : undefined;
  } catch {
    return undefined;
  }
}

function isFresh({ notBefore, notAfter }: CertificateReference): boolean {
  const lifetimeMs = notAfter.getTime() - notBefore.getTime();
  return notAfter.getTime() - Date.now() > FRESH_SHARE * lifetimeMs;
}
