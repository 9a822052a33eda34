import { IngestError } from "../../errors.js";
import { createId } from "../../lib/ids.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { publishEvents } from "../../outbox/publish-events.js";
import type { Queryable } from "../../store/database.js";
import { type EnrolmentTokenRow, insertEnrolmentToken } from "../../store/enrolment/enrolment-tokens.js";
import { findOldestUserId, listOrganisations } from "../../store/enrolment/organisations.js";
import type { Tag } from "../../store/hosts/tags.js";
import { createEnrolmentToken, hashEnrolmentToken } from "./enrolment-token.js";

/** What a new enrolment token is to be. */
export interface TokenRequest {
  label: string;
  /** Slug of the organisation; may be left out where there is only one. */
  organisationSlug?: string;
  autoApprove: boolean;
  maxUses?: number;
  /** How long it can be used, in milliseconds; without it for ever. */
  lifetimeMs?: number;
  tags: readonly Tag[];
}

/**
 * Makes an enrolment token. The token itself is returned here and kept nowhere: the database has its hash.
 *
 * @throws IngestError `operation_refused`
 */
export async function issueEnrolmentToken(
  { database, outbox }: PublishingDatabase,
  { label, organisationSlug, autoApprove, maxUses, lifetimeMs, tags }: TokenRequest,
): Promise<{ token: string; row: EnrolmentTokenRow }> {
  const { db } = database;
  const organisationId = await requireOrganisationId(db, organisationSlug);
  const createdById = await findOldestUserId(db);
  if (createdById === undefined) {
    throw new IngestError(
      "operation_refused",
      "the database has no user who could own the token: make one in the web app",
    );
  }
  const token = createEnrolmentToken();
  const tokenHash = hashEnrolmentToken(token);
  const id = createId();
  const row = await outbox.transaction(database, async (tx, outgoing) => {
    publishEvents(outgoing, "token.created", () => [{ org_id: organisationId, token_id: id, label }]);
    return insertEnrolmentToken(tx, {
      id,
      organisationId,
      label,
      token: `sha256:${tokenHash}`,
      tokenHash,
      createdById,
      autoApprove,
      maxUses: maxUses ?? null,
      expiresAt: lifetimeMs === undefined ? null : new Date(Date.now() + lifetimeMs),
      ...(tags.length > 0 && { metadata: { tags } }),
    });
  });
  return { token, row };
}

async function requireOrganisationId(db: Queryable, slug: string | undefined): Promise<string> {
  const found = await listOrganisations(db, slug === undefined ? {} : { slug });
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only.id;
  throw new IngestError(
    "operation_refused",
    slug !== undefined
      ? `no organisation has the slug ${slug}`
      : only === undefined
        ? "the database has no organisation: make one with `ct-ops-ingest org create NAME`, or in the web app where there is one"
        : `there are several organisations, name one with --org: ${found.map((org) => org.slug).join(", ")}`,
  );
}
