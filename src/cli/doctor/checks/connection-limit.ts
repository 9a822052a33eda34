import { readConnectionLimit } from "../../../store/inspection.js";
import { databaseCheck, ok, skipped, warning } from "../check.js";

/** What each instance opens besides its pool: for changes, and for the database's health. */
const BESIDES = 2;
/** And for the queue, where it has a broker. */
const OF_QUEUE = 3;

/** Whether PostgreSQL takes all connections that the workers may open. */
export const connectionLimitCheck = databaseCheck("connection limit", async (db, { variables }) => {
  const { INGEST_WORKERS: workers, INGEST_DATABASE_POOL_SIZE: pool, INGEST_AMQP_URL: broker } = variables;
  if (workers === undefined || pool === undefined)
    return [skipped("the configuration does not say how many there are")];
  const most = workers * (pool + BESIDES + (broker === undefined ? 0 : OF_QUEUE));
  const limit = await readConnectionLimit(db);
  const found = `up to ${most} connections of ${workers === 1 ? "one worker" : `${workers} workers`}, PostgreSQL takes ${limit} of all clients`;
  return most < limit
    ? [ok(found)]
    : [warning(found, "lower INGEST_WORKERS or INGEST_DATABASE_POOL_SIZE, or raise max_connections there")];
});
