import { sql } from "drizzle-orm";
import { bigint, index, jsonb, pgSchema, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "./agents.js";

const ingest = pgSchema("ingest");

/**
 * The newest session of every agent that ever opened one. Each session takes the next epoch; only the holder of the
 * current one may mark the agent offline.
 */
export const agentSessions = ingest.table("agent_sessions", {
  agentId: text("agent_id")
    .primaryKey()
    .references(() => agents.id, { onDelete: "cascade" }),
  epoch: bigint("epoch", { mode: "number" }).notNull(),
  instanceId: text("instance_id").notNull(),
  openedAt: timestamp("opened_at", { withTimezone: true }).notNull().defaultNow(),
  /** Null while its stream is up, and after an instance that died with it. */
  closedAt: timestamp("closed_at", { withTimezone: true }),
});

/** Every client certificate that has not expired, so that revoking an agent revokes all it holds. */
export const clientCertificates = ingest.table(
  "client_certificates",
  {
    /** Lower-case hex without leading zeros. */
    serial: text("serial").primaryKey(),
    agentId: text("agent_id")
      .notNull()
      .references(() => agents.id, { onDelete: "cascade" }),
    /** Fingerprint of the agent CA that issued it, as in `certificate_authorities`. */
    issuerFingerprintSha256: text("issuer_fingerprint_sha256").notNull(),
    notBefore: timestamp("not_before", { withTimezone: true }).notNull(),
    notAfter: timestamp("not_after", { withTimezone: true }).notNull(),
  },
  (t) => [
    index("client_certificates_agent_id_idx").on(t.agentId),
    index("client_certificates_issuer_idx").on(t.issuerFingerprintSha256, t.notAfter),
  ],
);

/** The public halves of the keys that sign access tokens: every instance publishes, and verifies with, all of them. */
export const signingKeys = ingest.table("signing_keys", {
  kid: text("kid").primaryKey(),
  publicJwk: jsonb("public_jwk").$type<{ kty: string; n: string; e: string }>().notNull(),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  /** Until when tokens signed with it may be around; put off by whoever signs with it. */
  publishedUntil: timestamp("published_until", { withTimezone: true }).notNull(),
});

/** Agent CAs that an operator stopped trusting before they expired. */
export const retiredAgentCas = ingest.table("retired_agent_cas", {
  fingerprintSha256: text("fingerprint_sha256").primaryKey(),
  retiredAt: timestamp("retired_at", { withTimezone: true }).notNull().defaultNow(),
});

/** When each agent registered last, and with which of the addresses that tell machines apart. */
export const agentRegistrations = ingest.table(
  "agent_registrations",
  {
    agentId: text("agent_id")
      .primaryKey()
      .references(() => agents.id, { onDelete: "cascade" }),
    registeredAt: timestamp("registered_at", { withTimezone: true }).notNull().defaultNow(),
    /** They stand for a host that has not reported its own yet: `hosts.ip_addresses` is null until a heartbeat. */
    identifyingAddresses: text("identifying_addresses").array().notNull().default([]),
  },
  (t) => [index("agent_registrations_identifying_addresses_idx").using("gin", t.identifyingAddresses)],
);

/** Agents whose identity a new key has claimed and nobody has approved yet: the old key, proven, undoes it. */
export const agentAdoptions = ingest.table(
  "agent_adoptions",
  {
    agentId: text("agent_id")
      .primaryKey()
      .references(() => agents.id, { onDelete: "cascade" }),
    previousPublicKey: text("previous_public_key").notNull().unique(),
    /** By which the host is still found: undoing gives them back to it. */
    previousHostname: text("previous_hostname").notNull().default(""),
    previousAddresses: text("previous_addresses").array().notNull().default([]),
    /** The columns of `agents` and `hosts` that undoing puts back. */
    previous: jsonb("previous").$type<Record<string, unknown>>().notNull(),
    adoptedAt: timestamp("adopted_at", { withTimezone: true }).notNull().defaultNow(),
  },
  (t) => [
    index("agent_adoptions_previous_hostname_idx").on(sql`lower(${t.previousHostname})`),
    index("agent_adoptions_previous_addresses_idx").using("gin", t.previousAddresses),
  ],
);

/** What was refused lately and why, for the operator who asks after an agent. Pruned; no reference into `public`. */
export const refusals = ingest.table(
  "refusals",
  {
    id: text("id").primaryKey(),
    refusedAt: timestamp("refused_at", { withTimezone: true }).notNull(),
    method: text("method").notNull(),
    reason: text("reason").notNull(),
    message: text("message").notNull(),
    /** The agent that was named by credentials that stood up so far; null when none was. */
    agentId: text("agent_id"),
    /** The key of a registration, in its stored form. */
    publicKey: text("public_key"),
    hostname: text("hostname"),
    remoteAddress: text("remote_address").notNull(),
  },
  (t) => [
    index("refusals_agent_id_idx").on(t.agentId, t.refusedAt),
    index("refusals_public_key_idx").on(t.publicKey, t.refusedAt),
    index("refusals_refused_at_idx").on(t.refusedAt),
  ],
);
