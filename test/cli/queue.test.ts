import t from "tap";
import { openDatabase } from "../../dist/store/database.js";
import { countDroppedMessages } from "../../dist/store/outbox/backlog.js";
import { recordPublisher } from "../../dist/store/outbox/publishers.js";
import { findTestBroker, uniqueExchange } from "../support/broker/test-broker.js";
import { openTestConsumer } from "../support/broker/test-consumer.js";
import { runCommand } from "../support/commands/cli.js";
import { createTestDatabase } from "../support/database/database.js";

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
    `insert into ingest.publishers select (jsonb_populate_record(p, jsonb_build_object(
       'instance_id', 'two', 'connected', true, 'renewed_at', now() - interval '1 minute'))).* from ingest.publishers p`,
  );
  await database.query(
    `insert into ingest.unroutable_messages (topic, messages, message_count, created_at)
     select 'events.raw', '[{},{}]', 2, now() from generate_series(1, 501)`,
  );
  await countDroppedMessages(store.db, { topic: "metrics.raw", from: "outbox", messages: 5 });

  const status = await cli("status");
  t.equal(status.exitCode, 0);
  t.match(status.output, /one +amqp:\/\/broker:5672\/ +no +1\.3 +\d+ s ago +ECONNREFUSED/);
  t.match(status.output, /two +amqp:\/\/broker:5672\/ +gone +\d+ s ago/, "one that was killed is not connected");
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

t.test("queue drain publishes what waits, or says why it cannot", async (t) => {
  const database = await createTestDatabase(t);
  const { broker, skip } = await findTestBroker(t);
  const exchange = uniqueExchange();
  const env = { DATABASE_URL: database.url, INGEST_AMQP_EXCHANGE: exchange };
  const drain = (url: string | undefined, timeout: string) =>
    runCommand({ ...env, INGEST_AMQP_URL: url }, ["queue", "drain", "--timeout", timeout]);
  t.match(await drain(undefined, "1s"), { exitCode: 1, errors: /no instance publishes .* INGEST_AMQP_URL/ });
  await database.query(
    `insert into ingest.outbox (topic, messages, message_count, created_at)
     select 'events.raw', json_build_array(json_build_object('message_id', 'e' || i)), 1, now() from generate_series(1, 700) i`,
  );
  t.match(await drain("amqp://127.0.0.1:1", "500ms"), {
    exitCode: 1,
    errors: /700 messages still wait: .*ECONNREFUSED/,
  });
  t.match(await drain("http://127.0.0.1", "1s"), { exitCode: 1, errors: /INGEST_AMQP_URL/ });
  t.same(await database.query("select from ingest.publishers"), [], "it leaves no trace of itself");
  if (skip) return;

  const consumer = await openTestConsumer(t, broker.url, exchange);
  t.match(await drain(broker.url, "1m"), { exitCode: 0, output: /no message waits/ });
  t.equal(await consumer.count("events.raw"), 700);
  t.match(await drain(broker.url, "1m"), { exitCode: 0 }, "nothing waits");
});
