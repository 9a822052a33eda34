import pg from "pg";
import type { PostgresHost } from "../../lib/formats/postgres-url.js";

/**
 * No connection, or none any more: nobody answers, or whoever does refuses. Whatever the reason, it may be gone with
 * the next attempt; it never says anything about an agent.
 */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";

  /** @param cause what the driver, the server or the network said */
  constructor(endpoint: PostgresHost, cause: unknown) {
    super(`no connection to the database at ${placeOf(endpoint)}: ${reasonOf(cause)}`, { cause });
  }
}

function placeOf({ host, port }: PostgresHost): string {
  if (host.startsWith("/")) return `${host}/.s.PGSQL.${port}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The errors that an error comes of, itself included, the outermost first. */
export function causesOf(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let e = error; e instanceof Error && chain.length < MAX_CAUSES; e = e.cause) {
    chain.push(e);
    if (e instanceof AggregateError) chain.push(...e.errors.filter((each) => each instanceof Error));
  }
  return chain;
}

const MAX_CAUSES = 10;

/** The code that PostgreSQL, or a pooler in front of it, gave an error. */
export function sqlStateOf(error: unknown): string | undefined {
  return causesOf(error).find((e): e is pg.DatabaseError => e instanceof pg.DatabaseError)?.code;
}

/**
 * What the database, the driver or the network said, on one line. The ORM's own words are left out: they hold the
 * statement, and what it was to write.
 */
export function reasonOf(error: unknown): string {
  const said = causesOf(error).filter((e) => !("query" in e && "params" in e) && e.message !== "");
  const reason = said[0]?.message ?? (error instanceof Error ? error.name : String(error));
  return reason.replaceAll(/\s*\n\s*/g, " ");
}
