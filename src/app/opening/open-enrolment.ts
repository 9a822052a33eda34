import type { Config } from "../../config/config.js";
import { CertificateUpkeep } from "../../enrolment/certificate-upkeep.js";
import { BRIDGE_NETWORKS } from "../../enrolment/duplicates/bridge-networks.js";
import { DuplicateNotices } from "../../enrolment/duplicates/duplicate-notices.js";
import { IdentifyingAddresses } from "../../enrolment/duplicates/identifying-addresses.js";
import { EnrolmentEvents } from "../../enrolment/events.js";
import { KnownKeys } from "../../enrolment/known-keys/known-keys.js";
import { CertificateRenewal } from "../../enrolment/known-keys/renewal.js";
import { Enroller } from "../../enrolment/new-keys/enroller.js";
import { Registrar } from "../../enrolment/registrar.js";
import { RefusalLimiter } from "../../enrolment/tokens/refusal-limiter.js";
import { TokenCheck } from "../../enrolment/tokens/token-check.js";
import type { AgentCas } from "../../identity/agent-ca/agent-cas.js";
import { ClientCertificates } from "../../identity/client-certificates/client-certificates.js";
import type { SigningKeyRing } from "../../identity/signing-keys/signing-key-ring.js";
import { Pace, type PaceLimit } from "../../lib/bounds/pace.js";
import type { Logger } from "../../observe/logger.js";
import type { Metrics } from "../../observe/metrics.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { AGENT_PACE } from "../agent-pace.js";

/** Wires what gives machines their identity. Whoever opens it stops its upkeep. */
export function openEnrolment({
  database,
  outbox,
  agentCa,
  signingKeys,
  policy,
  knownKeyPace = AGENT_PACE.registrations,
  logger,
  metrics,
}: PublishingDatabase & {
  agentCa: AgentCas;
  signingKeys: SigningKeyRing;
  policy: Config["enrolment"];
  knownKeyPace?: PaceLimit;
  logger: Logger;
  metrics?: Metrics;
}): { registrar: Registrar; renewal: CertificateRenewal; certificateUpkeep: CertificateUpkeep } {
  const enrolmentEvents = new EnrolmentEvents(logger, metrics);
  const clientCertificates = new ClientCertificates({ database, outbox, agentCa });
  const tokenCheck = new TokenCheck(database.db);
  const identities = { database, outbox, tokenCheck, clientCertificates, signingKeys, events: enrolmentEvents };
  const { duplicateIgnoreCidrs = BRIDGE_NETWORKS, adoptAutoApprove, addressMatch, refusalsPerMinute } = policy;
  const identifyingAddresses = new IdentifyingAddresses(duplicateIgnoreCidrs);
  const registrar = new Registrar({
    database,
    knownKeys: new KnownKeys(identities),
    newKeys: new Enroller({
      ...identities,
      duplicateNotices: new DuplicateNotices({ database, outbox }),
      policy: { adoptAutoApprove, addressMatch },
      identifyingAddresses,
    }),
    identifyingAddresses,
    refusalLimiter: new RefusalLimiter({ perMinute: refusalsPerMinute }),
    knownKeyPace: new Pace(knownKeyPace),
  });
  const renewal = new CertificateRenewal({ db: database.db, clientCertificates, events: enrolmentEvents });
  const certificateUpkeep = new CertificateUpkeep({ db: database.db, events: enrolmentEvents });
  return { registrar, renewal, certificateUpkeep };
}
