import t from "tap";
import { openDatabase } from "../../dist/store/database.js";
import { forgetOldKeys } from "../../dist/store/enrolment/former-keys.js";
import { connectTo, createTestDatabase } from "../support/database/database.js";

t.test("keys of deleted agents are kept for a year, and no more than 200,000 of them", async (t) => {
  const { url, query } = await createTestDatabase(t);
  const { db, close } = openDatabase({ url, maxConnections: 2 });
  t.teardown(close);
  const insert = (name: string, ago: string, fate = "deleted", count = 1) =>
    query(
      `insert into ingest.former_keys (public_key, agent_id, fate, since)
       select $1::text || n, 'a', $3, now() - $2::interval - n * interval '1 ms' from generate_series(1, $4) n`,
      [name, ago, fate, count],
    );
  const names = async () => {
    const rows = await query("select public_key from ingest.former_keys where public_key not like 'many%' order by 1");
    return rows.map(({ public_key }) => public_key);
  };
  await insert("last year's", "366 days");
  await insert("turned away", "2000 days", "rejected");
  await insert("old", "364 days", "deleted", 3);
  await forgetOldKeys(db);
  t.same(await names(), ["old1", "old2", "old3", "turned away1"]);

  await insert("many", "1 day", "deleted", 199_999);
  const other = await connectTo(t, url);
  await other.query("begin; select from ingest.former_keys where public_key = 'old2' for update");
  await forgetOldKeys(db);
  t.same(await names(), ["old1", "old2", "turned away1"], "what somebody writes at the moment is passed over");
  await other.query("commit");

  await other.query("begin; select pg_advisory_xact_lock(hashtextextended('ct-ops-ingest/forget-old-keys', 0))");
  await forgetOldKeys(db);
  t.same(await names(), ["old1", "old2", "turned away1"], "one instance at a time");
  await other.query("commit");
  await forgetOldKeys(db);
  t.same(await names(), ["old1", "turned away1"]);
});
