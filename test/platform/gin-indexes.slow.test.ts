import t from "tap";
import { migrateIngest } from "../../dist/store/migrations/migrate.js";
import { connectTo } from "../support/database/database.js";
import { createDatabaseWithLists, GIN_INDEXES, readGinIndexes } from "../support/database/gin-indexes.js";

t.test("a transaction that stays open does not keep the service from starting", async (t) => {
  const database = await createDatabaseWithLists(t);
  const webApp = await connectTo(t, database.url);
  await webApp.query("begin");
  await webApp.query("select from hosts where id = 'x'");
  await migrateIngest(database.url);
  t.same(
    await readGinIndexes(database),
    GIN_INDEXES.map((name) => ({ name, options: null })),
    "the indexes are as they were",
  );
  await webApp.query("rollback");
});
