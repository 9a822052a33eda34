import t, { type Test } from "tap";
import { type Database, openDatabase } from "../../dist/store/database.js";
import { takeTokenUses } from "../../dist/store/enrolment/enrolment-tokens.js";
import { linkHostTags } from "../../dist/store/hosts/tags.js";
import type { Transaction } from "../../dist/store/transaction.js";
import { connectTo, createTestDatabase, type TestDatabase, untilLockedOut } from "../support/database/database.js";

async function openScene(t: Test): Promise<{ database: TestDatabase; store: Database }> {
  const database = await createTestDatabase(t);
  await database.query(`
    insert into organisations (id, name, slug) values ('o', 'Test', 'test');
    insert into agent_enrolment_tokens (id, organisation_id, label, token, token_hash, created_by_id)
      select 'token', 'o', 'test', 'x', 'x', id from "user" limit 1;
    insert into hosts (id, organisation_id, hostname) select 'host' || n, 'o', 'host' || n from generate_series(1, 3) n;
    insert into tags (id, organisation_id, key, value) values ('tag', 'o', 'env', 'prod')`);
  const store = openDatabase({ url: database.url, maxConnections: 4 });
  t.teardown(() => store.close());
  return { database, store };
}

/**
 * Two count a row at the same time while a third one counts it too, and a fourth one refers to it, which locks it
 * weakly, for longer than all of them take.
 */
async function countTogether(
  t: Test,
  { database, store }: { database: TestDatabase; store: Database },
  { refer, count, work }: { refer: string; count: string; work: (tx: Transaction, n: number) => Promise<unknown> },
): Promise<void> {
  const referring = await connectTo(t, database.url);
  await referring.query(`begin; ${refer}`);
  const counting = await connectTo(t, database.url);
  await counting.query(`begin; ${count}`);
  const waiting = [1, 2].map((n) => store.transaction((tx) => work(tx, n)));
  await untilLockedOut(database, 2);
  await counting.query("commit");
  await Promise.all(waiting);
  await referring.query("commit");
}

t.test("uses of a token are taken while machines that enrolled with it are being written", async (t) => {
  const scene = await openScene(t);
  await countTogether(t, scene, {
    refer: `insert into agents (id, organisation_id, hostname, public_key, enrolment_token_id)
            values ('new', 'o', 'new', 'new', 'token')`,
    count: "update agent_enrolment_tokens set usage_count = usage_count + 1",
    work: (tx) => takeTokenUses(tx, new Map([["token", 2]])),
  });
  t.match(await scene.database.query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 5 }]);
});

t.test("tags are linked while somebody else links them", async (t) => {
  const scene = await openScene(t);
  await countTogether(t, scene, {
    refer: `insert into resource_tags (id, organisation_id, resource_id, resource_type, tag_id)
            values ('new', 'o', 'host3', 'host', 'tag')`,
    count: "update tags set usage_count = usage_count + 1",
    work: (tx, n) =>
      linkHostTags(tx, [{ organisationId: "o", hostId: `host${n}`, wanted: [{ key: "env", value: "prod" }] }]),
  });
  t.match(await scene.database.query("select usage_count from tags"), [{ usage_count: 3 }]);
});
