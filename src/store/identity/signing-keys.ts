import { eq, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { signingKeys } from "../schema/ingest/index.js";

/** The public half of a signing key. */
export interface PublicSigningKey {
  /** RFC 7638 thumbprint. */
  kid: string;
  publicJwk: { kty: string; n: string; e: string };
}

/** A public key that verifies tokens, and since when and until when it does. */
export interface PublishedSigningKey extends PublicSigningKey {
  createdAt: Date;
  publishedUntil: Date;
  /** By the database's clock, as is the next one. */
  ageMs: number;
  /** Until it is not published any more. */
  remainingMs: number;
}

/** Publishes keys for this long from now on, or puts off the end of those that are published already. */
export async function publishSigningKeys(
  db: Queryable,
  keys: readonly PublicSigningKey[],
  publishForMs: number,
): Promise<void> {
  if (keys.length === 0) return;
  await db.execute(sql`
    insert into ingest.signing_keys as k (kid, public_jwk, published_until)
    select w.kid, w.public_jwk, now() + make_interval(secs => ${publishForMs / 1000})
    from unnest(
      ${sql.param(keys.map(({ kid }) => kid))}::text[],
      ${sql.param(keys.map(({ publicJwk }) => JSON.stringify(publicJwk)))}::jsonb[]
    ) as w(kid, public_jwk)
    order by w.kid
    on conflict (kid) do update
      set published_until = greatest(k.published_until, excluded.published_until),
          created_at = case when k.published_until > now() then k.created_at else now() end`);
}

/** The keys that are published, oldest first. */
export async function listPublishedSigningKeys(db: Queryable): Promise<PublishedSigningKey[]> {
  const rows = await db
    .select({
      kid: signingKeys.kid,
      publicJwk: signingKeys.publicJwk,
      createdAt: signingKeys.createdAt,
      publishedUntil: signingKeys.publishedUntil,
      ageMs: sql<number>`(extract(epoch from now() - ${signingKeys.createdAt}) * 1000)::float8`,
      remainingMs: sql<number>`(extract(epoch from ${signingKeys.publishedUntil} - now()) * 1000)::float8`,
    })
    .from(signingKeys)
    .where(sql`${signingKeys.publishedUntil} > now()`)
    .orderBy(signingKeys.createdAt, signingKeys.kid);
  return rows;
}

/** Removes the keys whose last token has expired. */
export async function deleteExpiredSigningKeys(db: Queryable): Promise<void> {
  await db.delete(signingKeys).where(sql`${signingKeys.publishedUntil} <= now()`);
}

/** Removes a key from those that verify tokens; false when it was not among them. */
export async function deleteSigningKey(db: Queryable, kid: string): Promise<boolean> {
  const { rowCount } = await db.delete(signingKeys).where(eq(signingKeys.kid, kid));
  return rowCount === 1;
}
