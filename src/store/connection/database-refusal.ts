import { ConnectionError, causesOf, reasonOf, sqlStateOf } from "./connection-error.js";

/** What to do about an answer of PostgreSQL, or of a pooler in front of it, by the beginning of its code. */
const BY_STATE: readonly (readonly [code: string, remedy: string])[] = [
  ["28P01", "correct the password in DATABASE_URL; special characters in it are percent-encoded"],
  ["28", "correct DATABASE_URL, create the role, or let pg_hba.conf on the database's host admit it"],
  ["3D000", "create the database, or correct its name in DATABASE_URL"],
  ["42501", "grant the role of DATABASE_URL what it lacks, or use the one that owns the tables"],
  ["53300", "end other clients, raise max_connections there, or lower INGEST_WORKERS or INGEST_DATABASE_POOL_SIZE"],
  ["53100", "make room on the database's disk"],
  ["53", "give the database's host more of it"],
  ["57P03", "wait until the database has started, then try again"],
  ["57014", "something holds it up for too long: look at pg_stat_activity there, then try again"],
  ["55P03", "another session holds a lock: look at pg_stat_activity there, then try again"],
  ["57", "wait until the database is back, then try again"],
  [
    "25006",
    "name a server in DATABASE_URL that can be written to; of several, target_session_attrs=read-write finds it",
  ],
  ["42P01", "migrate the database: `ct-ops-ingest migrate`"],
  ["3F000", "migrate the database: `ct-ops-ingest migrate`"],
  ["42703", "the tables are of another version: let the web app migrate the database, and `ct-ops-ingest migrate`"],
  ["08P01", "look into the log of the pooler in front of the database"],
];

/** What the driver says of a connection that is no more. */
const LOST = /Connection terminated|not queryable/;

/** What to do about what the network, TLS or the driver says. */
const BY_WORDS: readonly (readonly [words: RegExp, remedy: string])[] = [
  [/ECONNREFUSED/, "start PostgreSQL, or correct host and port in DATABASE_URL"],
  [/ENOTFOUND|EAI_AGAIN/, "correct the host in DATABASE_URL, or look at the name service"],
  [
    /no answer|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/,
    "look at the database's host, and at the network and firewalls before it",
  ],
  [/ENOENT/, "start PostgreSQL, or correct the directory of its socket in DATABASE_URL"],
  [/EACCES/, "give this user the right to use the socket"],
  [/does not support SSL/, "switch TLS on there (ssl = on), or set sslmode=disable in DATABASE_URL"],
  [/ALTNAME|does not match certificate/, "use a name that the server's certificate has, or sslmode=verify-ca"],
  [/certificate/i, "name the CA of the server's certificate with sslrootcert in DATABASE_URL"],
  [/read-only|standby/, "name a server in DATABASE_URL that can be written to"],
  [/connections are in use/, "raise INGEST_DATABASE_POOL_SIZE, or look for what holds them in pg_stat_activity"],
  [LOST, "wait until the database is back, then try again"],
  [/password must be a string|no password/i, "put the password into DATABASE_URL"],
];

/** What a database, or what is before it, did not do. */
export interface DatabaseRefusal {
  /** What was said; one line. */
  what: string;
  /** What to do about it, where that is known. */
  remedy: string | undefined;
}

/** What became of a connection or a statement, and what to do; undefined when it is not the database's doing. */
export function findDatabaseRefusal(error: unknown): DatabaseRefusal | undefined {
  const causes = causesOf(error);
  const state = sqlStateOf(error);
  const isConnection = causes.some((e) => e instanceof ConnectionError);
  const isStatement = causes.some((e) => ("query" in e && "params" in e) || LOST.test(e.message));
  if (state === undefined && !isConnection && !isStatement) return undefined;
  const said = causes.map((e) => `${(e as NodeJS.ErrnoException).code} ${e.message}`).join(" ");
  const [, remedy] =
    (state === undefined
      ? BY_WORDS.find(([words]) => words.test(said))
      : BY_STATE.find(([code]) => state.startsWith(code))) ?? [];
  const subject = isConnection ? "" : `the database ${state === undefined ? "gave no answer" : "refuses"}: `;
  return { what: `${subject}${reasonOf(error)}`, remedy };
}
