import { IngestError } from "../errors.js";
import { issueAccessToken } from "../identity/access-token.js";
import type { AgentCa, SigningCa } from "../identity/agent-ca.js";
import type { AgentPublicKey } from "../identity/agent-key.js";
import { type IssuedCertificate, issueClientCertificate } from "../identity/client-certificate.js";
import { requirePossession } from "../identity/csr.js";
import type { SigningKeys } from "../identity/signing-keys.js";
import type { SpiffeIdentity } from "../identity/spiffe-id.js";
import { createId } from "../lib/ids.js";
import {
  type AgentRow,
  certificateColumns,
  findAgentByPublicKey,
  insertAgent,
  insertStatusHistory,
  updateClientCertificate,
} from "../store/agents.js";
import type { Database, Queryable } from "../store/database.js";
import { type EnrolmentTokenRow, findEnrolmentToken, takeTokenUse } from "../store/enrolment-tokens.js";
import { insertHost } from "../store/hosts.js";
import { findOrganisation } from "../store/organisations.js";
import { linkHostTags } from "../store/tags.js";
import { hashEnrolmentToken } from "./enrolment-token.js";
import type { EnrolmentEvents } from "./events.js";
import { parseRegistration, type RawRegistration, type Registration } from "./registration-request.js";
import { mergeTags, readTags } from "./tags.js";

/** What `Register` answers. */
export type RegistrationResult =
  | { status: "pending" | "revoked"; agentId: string }
  | {
      status: "active";
      agentId: string;
      accessToken: string;
      certificate: Pick<IssuedCertificate, "pem" | "notAfter">;
      agentCaCertificatePem: string;
    };

/** What a {@link Registrar} needs. */
export interface RegistrarOptions {
  database: Database;
  agentCa: AgentCa;
  signingKeys: SigningKeys;
  events: EnrolmentEvents;
}

/** Gives machines an identity: a key that is known gets its own back, a new one needs an enrolment token. */
export class Registrar {
  constructor(private readonly options: RegistrarOptions) {}

  /**
   * Registers an agent. The same request again has the same effect as once.
   *
   * @param remoteAddress for the log
   * @throws IngestError `invalid_field`, `enrolment_token_unusable`, `key_of_other_organisation`
   */
  async register(raw: RawRegistration, remoteAddress: string): Promise<RegistrationResult> {
    const registration = parseRegistration(raw);
    // Before anything is looked up: without it an existing identity is neither answered nor touched.
    await requirePossession(registration.csrDer, registration.publicKey);
    const { db } = this.options.database;
    const known = await findAgentByPublicKey(db, registration.publicKey.pem);
    if (known !== undefined) return this.#answerKnown(known, registration.publicKey);
    try {
      return await this.#enrol(registration, remoteAddress);
    } catch (error) {
      if (!(error instanceof KeyTaken || error instanceof TokenUnusable)) throw error;
      // Another request with the same key may have been faster, and have taken the token's last use.
      const winner = await findAgentByPublicKey(db, registration.publicKey.pem);
      if (winner !== undefined) return this.#answerKnown(winner, registration.publicKey);
      throw error instanceof TokenUnusable ? this.#refuse(error.reason, registration, remoteAddress) : error;
    }
  }

  async #answerKnown(agent: AgentRow, publicKey: AgentPublicKey): Promise<RegistrationResult> {
    if (agent.deletedAt !== null) {
      throw new IngestError(
        "operation_refused",
        `the agent of this key (${agent.id}) was deleted; remove the agent's data directory so that it makes a new key`,
      );
    }
    // Offline is a passing state: every rule that accepts active accepts offline.
    if (agent.status !== "active" && agent.status !== "offline") {
      return { status: agent.status === "pending" ? "pending" : "revoked", agentId: agent.id };
    }
    const identity = { agentId: agent.id, organisationId: agent.organisationId };
    const ca = this.options.agentCa.current;
    const certificate = await issueClientCertificate(ca, identity, publicKey);
    const stored = await updateClientCertificate(this.options.database.db, agent.id, certificate);
    if (!stored) {
      // Its status changed meanwhile.
      const current = await findAgentByPublicKey(this.options.database.db, publicKey.pem);
      if (current === undefined) throw new Error(`agent ${agent.id} was deleted while it registered`);
      return this.#answerKnown(current, publicKey);
    }
    this.options.events.identityIssued({ ...identity, hostname: agent.hostname, serial: certificate.serial });
    return this.#active(identity, certificate, ca);
  }

  async #enrol(registration: Registration, remoteAddress: string): Promise<RegistrationResult> {
    const { database, events } = this.options;
    const ca = this.options.agentCa.current;
    const token = await requireUsableToken(database.db, registration.orgToken);
    const identity = { agentId: createId(), organisationId: token.organisationId };
    // Signed before the transaction, so that it holds the token's row for as short as possible.
    const certificate = token.autoApprove
      ? await issueClientCertificate(ca, identity, registration.publicKey)
      : undefined;
    await database.transaction((tx) => insertEnrolment(tx, { identity, registration, token, certificate }));
    const status = certificate === undefined ? "pending" : "active";
    events.enrolled({ ...identity, status, hostname: registration.hostname, tokenId: token.id, remoteAddress });
    return certificate === undefined
      ? { status: "pending", agentId: identity.agentId }
      : this.#active(identity, certificate, ca);
  }

  /** One text for all reasons: which one it was helps only somebody who guesses tokens, and the operator's log. */
  #refuse(reason: TokenProblem, { orgToken, hostname }: Registration, remoteAddress: string): IngestError {
    const tokenHashPrefix = hashEnrolmentToken(orgToken).slice(0, 8);
    this.options.events.refused({ reason: `token_${reason}`, tokenHashPrefix, hostname, remoteAddress });
    return new IngestError(
      "enrolment_token_unusable",
      "the enrolment token cannot be used; ask the operator of CT-Ops for a new one",
      { reason: `token_${reason}` },
    );
  }

  async #active(identity: SpiffeIdentity, certificate: IssuedCertificate, ca: SigningCa): Promise<RegistrationResult> {
    return {
      status: "active",
      agentId: identity.agentId,
      accessToken: await issueAccessToken(this.options.signingKeys, identity),
      certificate,
      agentCaCertificatePem: ca.certificatePem,
    };
  }
}

interface Enrolment {
  identity: SpiffeIdentity;
  registration: Registration;
  token: EnrolmentTokenRow;
  /** Issued when the token approves by itself. */
  certificate: IssuedCertificate | undefined;
}

type TokenProblem = "unknown" | "expired" | "exhausted" | "revoked";

/** Rolls an enrolment back, or keeps it from starting. */
class TokenUnusable extends Error {
  constructor(readonly reason: TokenProblem) {
    super(`the enrolment token is ${reason}`);
  }
}

/** Rolls an enrolment back: its key became known meanwhile. */
class KeyTaken extends Error {}

async function requireUsableToken(db: Queryable, orgToken: string): Promise<EnrolmentTokenRow> {
  if (orgToken === "") throw new IngestError("invalid_field", "org_token: missing; expected an enrolment token");
  const found = await findEnrolmentToken(db, hashEnrolmentToken(orgToken));
  if (found === undefined) throw new TokenUnusable("unknown");
  const { token, usable, expired } = found;
  if (usable) return token;
  throw new TokenUnusable(token.deletedAt !== null ? "revoked" : expired ? "expired" : "exhausted");
}

/**
 * Writes a new agent with all that belongs to it.
 *
 * @throws KeyTaken, TokenUnusable: the transaction is to be rolled back
 */
async function insertEnrolment(tx: Queryable, enrolment: Enrolment): Promise<void> {
  const { identity, registration, token, certificate } = enrolment;
  const { agentId, organisationId } = identity;
  const { hostname, version, os, osVersion, arch } = registration;
  const status = certificate === undefined ? "pending" : "active";
  const isNew = await insertAgent(tx, {
    id: agentId,
    organisationId,
    hostname,
    publicKey: registration.publicKey.pem,
    status,
    version,
    os,
    arch,
    enrolmentTokenId: token.id,
    ...(certificate && { approvedAt: new Date(), ...certificateColumns(certificate) }),
  });
  if (!isNew) throw new KeyTaken("the key is known");

  const ownTags = mergeTags(readTags(token.metadata?.tags), registration.tags);
  const hostId = createId();
  await insertHost(
    tx,
    { id: hostId, organisationId, agentId, hostname, os, osVersion: osVersion || null, arch },
    certificate === undefined ? ownTags : [],
  );
  const change = { agentId, organisationId };
  await insertStatusHistory(tx, [
    { ...change, status: "pending", reason: "registered" },
    ...(certificate ? [{ ...change, status: "active" as const, reason: "approved by the enrolment token" }] : []),
  ]);
  if (certificate !== undefined) {
    const organisation = await findOrganisation(tx, organisationId);
    const defaultTags = readTags(organisation?.metadata?.defaultTags);
    await linkHostTags(tx, { organisationId, hostId, wanted: mergeTags(defaultTags, ownTags) });
  }
  // Last, because the token's row is what all registrations with it wait for.
  if (!(await takeTokenUse(tx, token.id))) throw new TokenUnusable("exhausted");
}
