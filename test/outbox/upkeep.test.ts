import { sql } from "drizzle-orm";
import t from "tap";
import { OutboxEvents } from "../../dist/outbox/events.js";
import { OutboxUpkeep } from "../../dist/outbox/publishing/upkeep.js";
import { openDatabase } from "../../dist/store/database.js";
import { FakePublisher } from "../support/broker/fake-publisher.js";
import { createTestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";

t.test("how long messages wait is told by the database's clock, whatever this machine's says", async (t) => {
  const { url, query } = await createTestDatabase(t);
  await query(`
    create function public.now() returns timestamptz language sql stable as
      'select pg_catalog.now() + interval ''1 hour''';
    insert into ingest.outbox (topic, message_count, messages, created_at)
    values ('metrics.raw', 3, '[]', public.now() - interval '90 s')`);
  const store = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => store.close());
  const { logger, lines } = createTestLog();
  await store.db.transaction(async (db) => {
    // Whose clock is an hour ahead of this process.
    await db.execute(sql`set local search_path to public, pg_catalog`);
    const events = new OutboxEvents(logger);
    const timing = { boundsMs: 20, warningMs: 20 };
    const upkeep = new OutboxUpkeep({ db, publisher: new FakePublisher(), maxRows: 10, events, timing });
    await eventually(
      async () => lines.some(({ msg }) => msg === "messages wait for the broker") && upkeep.stored.backlog.length > 0,
      (told) => told,
    );
    await upkeep.stop();
    const isRight = (ageS: unknown) => Number(ageS) >= 90 && Number(ageS) < 900;
    t.match(lines[0], { messages: 3 });
    t.ok(isRight(lines[0]?.oldestAgeS), "in the log");
    t.ok(isRight(Number(upkeep.stored.backlog[0]?.oldestAgeMs) / 1000), "for the metrics");
  });
});
