import pg from "pg";

/**
 * Takes a lock on a database that ends with the connection, so also with a process that is killed.
 *
 * @returns how to give it back; undefined when another process holds it
 */
export async function tryLockInstance(url: string): Promise<(() => Promise<void>) | undefined> {
  const client = new pg.Client({ connectionString: url, application_name: "ct-ops-ingest dev", keepAlive: true });
  // The lock is lost with the connection; the database, which is gone then, is missed elsewhere.
  client.on("error", () => {});
  await client.connect();
  const { rows } = await client.query<{ locked: boolean }>(
    "select pg_try_advisory_lock(hashtextextended('ct-ops-ingest/dev', 0)) as locked",
  );
  if (rows[0]?.locked === true) return () => client.end();
  await client.end();
  return undefined;
}
