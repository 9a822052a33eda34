import t from "tap";
import { openDatabase } from "../../dist/store/database.js";
import { countDroppedMessages } from "../../dist/store/outbox/backlog.js";
import { recordPublisher } from "../../dist/store/outbox/publishers.js";
import { runCommand } from "../support/cli.js";
import { createTestDatabase } from "../support/database.js";

t.test("queue status and queue retry", async (t) => {
  const database = await createTestDatabase(t);
  const store = openDatabase({ url: database.url, maxConnections: 1 });
  t.teardown(() => store.close());
  const cli = (...args: string[]) => runCommand({ DATABASE_URL: database.url }, ["queue", ...args]);
  await recordPublisher(store.db, {
    instanceId: "one",
    broker: "amqp://broker:5672/",
    connected: false,
    blocked: null,
    inFlight: 0,
    confirmed: 7,
    confirmedPerSecond: 1.25,
    lastError: "ECONNREFUSED",
    lastErrorAt: new Date(),
  });
  await database.query(
    `insert into ingest.unroutable_messages (topic, messages, message_count, created_at)
     select 'events.raw', '[{},{}]', 2, now() from generate_series(1, 501)`,
  );
  await countDroppedMessages(store.db, { topic: "metrics.raw", from: "outbox", messages: 5 });

  const status = await cli("status");
  t.equal(status.exitCode, 0);
  t.match(status.output, /one +amqp:\/\/broker:5672\/ +no +1\.3 +\d+ s ago +ECONNREFUSED/);
  t.match(status.output, /unroutable +events\.raw +1002/);
  t.match(status.output, /dropped +metrics\.raw +5/);
  t.match(JSON.parse((await cli("status", "--json")).output), {
    instances: [{ instanceId: "one", connected: false, confirmed: 7, lastError: "ECONNREFUSED" }],
    backlog: [],
    unroutable: [{ topic: "events.raw", rows: 501, messages: 1002 }],
    dropped: [{ topic: "metrics.raw", from: "outbox", messages: 5 }],
  });

  t.match(await cli("retry"), { exitCode: 0, output: "1002 messages are published again" });
  t.match(JSON.parse((await cli("status", "--json")).output), {
    backlog: [{ topic: "events.raw", messages: 1002 }],
    unroutable: [],
  });
});
