import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { BrokerEvents } from "../../dist/broker/events.js";
import type { OutgoingMessage } from "../../dist/broker/publisher.js";
import { RabbitMqPublisher, type RabbitMqPublisherOptions } from "../../dist/broker/rabbitmq/rabbitmq-publisher.js";
import type { TopologyOptions } from "../../dist/broker/rabbitmq/topology.js";
import { writeDevTls } from "../../dist/cli/dev/dev-tls.js";
import { parseAmqpUrl } from "../../dist/lib/formats/amqp-url.js";
import { createTestKey } from "../support/agents/field-agent.js";
import { startTestBroker, uniqueExchange } from "../support/broker/test-broker.js";
import { openTestConsumer } from "../support/broker/test-consumer.js";
import { createTestCa, forgeCertificate } from "../support/certificates/certificates.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { makeDirectory } from "../support/service.js";
import { startTcpProxy } from "../support/wire/tcp-proxy.js";

const DAY_MS = 24 * 60 * 60 * 1000;

const directory = await makeDirectory(t);
const server = await writeDevTls(directory);
const clientCa = await createTestCa({
  notBefore: new Date(Date.now() - DAY_MS),
  notAfter: new Date(Date.now() + DAY_MS),
});
const clientCaFile = join(directory, "client-ca.crt");
await writeFile(clientCaFile, clientCa.certificate.certificatePem);
const { broker, skip } = await startTestBroker(t, {
  tls: { ...server, caFile: clientCaFile },
  plugins: ["rabbitmq_auth_mechanism_ssl"],
  config: [
    "ssl_options.verify = verify_peer",
    "ssl_options.fail_if_no_peer_cert = false",
    "ssl_cert_login_from = common_name",
    "auth_mechanisms.1 = PLAIN",
    "auth_mechanisms.2 = EXTERNAL",
  ],
});

interface Options {
  url: string;
  tls?: RabbitMqPublisherOptions["tls"];
  topology?: Partial<TopologyOptions>;
  timing?: RabbitMqPublisherOptions["timing"];
}

/** A publisher that is closed with the test. */
function startPublisher(t: Test, { url, tls = {}, topology, timing }: Options) {
  const { logger, lines } = createTestLog();
  const exchange = topology?.exchange ?? uniqueExchange();
  const publisher = new RabbitMqPublisher({
    addresses: url.split(",").map(parseAmqpUrl),
    tls,
    topology: { exchange, declare: true, maxLength: 0, maxBytes: 0, ...topology },
    instanceId: "test",
    events: new BrokerEvents(logger),
    timing: { reconnect: { baseMs: 20, maxMs: 200 }, ...timing },
  });
  t.teardown(() => publisher.close());
  const ready = () => eventually(async () => publisher.isReady, Boolean);
  return { publisher, exchange, lines, ready };
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}

let nextId = 0;

function messages(count: number, body = "{}"): OutgoingMessage[] {
  return Array.from({ length: count }, () => ({
    id: `m${nextId++}`,
    type: "metrics.raw",
    timestamp: 1_800_000_000,
    body,
  }));
}

t.test("what is confirmed stands in a durable queue, with its properties", { skip }, async (t) => {
  const { url } = broker;
  const { publisher, exchange, ready } = startPublisher(t, { url });
  t.same(await publisher.publish("metrics.raw", messages(1)), ["lost"], "nothing is kept while it connects");
  await ready();
  const sent = messages(3, '{"cpu":"ä"}');
  t.same(await publisher.publish("metrics.raw", sent), ["confirmed", "confirmed", "confirmed"]);
  const consumer = await openTestConsumer(t, url, exchange);
  await consumer.consumeAll();
  const [first] = await eventually(
    async () => consumer.received("metrics.raw"),
    (all) => all.length === 3,
  );
  t.match(first, {
    content: Buffer.from('{"cpu":"ä"}'),
    fields: { exchange, routingKey: "metrics.raw" },
    properties: {
      messageId: sent[0]?.id,
      timestamp: 1_800_000_000,
      type: "metrics.raw",
      contentType: "application/json",
      appId: "ct-ops-ingest",
      deliveryMode: 2,
    },
  });
  t.same(
    consumer.received("metrics.raw").map(({ properties }) => properties.messageId),
    sent.map(({ id }) => id),
    "in their order",
  );
  t.match(publisher.state, { connected: true, confirmed: 3, inFlight: 0, broker: url.replace("guest:guest@", "") });
});

t.test("a connection that breaks before the confirm: nobody knows, and it comes back", { skip }, async (t) => {
  const proxy = await startTcpProxy(t, portOf(broker.url));
  const { publisher, exchange, ready, lines } = startPublisher(t, { url: proxy.through(broker.url) });
  await ready();
  proxy.silence("to client");
  const outcome = publisher.publish("metrics.raw", messages(2));
  const consumer = await openTestConsumer(t, broker.url, exchange);
  await eventually(
    () => consumer.count("metrics.raw"),
    (count) => count === 2,
  );
  proxy.cut();
  t.same(await outcome, ["lost", "lost"], "although the broker has them");
  proxy.resume();
  await ready();
  t.same(await publisher.publish("metrics.raw", messages(1)), ["confirmed"]);
  t.match(publisher.state.lastError, { message: /ECONNRESET|Unexpected close/ });
  t.match(
    lines.filter(({ level }) => level === "warn"),
    [{ msg: "not connected to the broker, connecting again", attempt: 1 }],
  );
});

t.test("a broker that falls silent is given up, with its socket", { skip }, async (t) => {
  const proxy = await startTcpProxy(t, portOf(broker.url));
  const { publisher, ready } = startPublisher(t, {
    url: proxy.through(broker.url),
    timing: { confirmTimeoutMs: 300 },
  });
  await ready();
  proxy.silence();
  t.same(await publisher.publish("metrics.raw", messages(1)), ["lost"]);
  await eventually(
    async () => proxy.open,
    (open) => open <= 1,
  );
  proxy.resume();
  await ready();
  t.same(await publisher.publish("metrics.raw", messages(1)), ["confirmed"]);
  t.match(publisher.state.lastError, { message: /did not confirm a message within 300 ms/ });
  t.equal(proxy.open, 1, "one connection, the others are closed");
});

t.test("an exchange that is deleted closes the channel: it is made again", { skip }, async (t) => {
  const { publisher, exchange, ready } = startPublisher(t, { url: broker.url });
  await ready();
  const consumer = await openTestConsumer(t, broker.url, exchange);
  await consumer.channel.deleteExchange(exchange);
  t.same(await publisher.publish("metrics.raw", messages(2)), ["lost", "lost"]);
  t.equal(publisher.isReady, false);
  await ready();
  t.same(await publisher.publish("metrics.raw", messages(1)), ["confirmed"]);
  t.match(publisher.state.lastError, { message: /404.*no exchange/ });
});

t.test("a broker that closes the connection is quoted", { skip }, async (t) => {
  const { publisher, ready } = startPublisher(t, { url: broker.url });
  await ready();
  await broker.control("close_all_connections", "maintenance tonight");
  const { lastError } = await eventually(
    async () => publisher.state,
    ({ lastError }) => lastError !== undefined,
  );
  t.match(lastError, { message: /maintenance tonight/ });
});

t.test("queues that are deleted under it, and bindings, are made again", { skip }, async (t) => {
  const { publisher, exchange, lines, ready } = startPublisher(t, { url: broker.url });
  await ready();
  const consumer = await openTestConsumer(t, broker.url, exchange);
  for (const remove of [
    () => consumer.channel.deleteQueue(`${exchange}.metrics.raw`),
    () => consumer.channel.unbindQueue(`${exchange}.metrics.raw`, exchange, "metrics.raw"),
  ]) {
    lines.length = 0;
    await remove();
    const outcomes = new Set<string>();
    await eventually(
      async () => (await publisher.publish("metrics.raw", messages(10))).map((outcome) => outcomes.add(outcome)),
      () => outcomes.has("confirmed"),
    );
    t.same([...outcomes], ["refused", "confirmed"], "nothing is set aside");
    // The message may be taken while the queues of the other topics are still being declared.
    await eventually(
      async () => lines.map(({ msg }) => msg),
      (said) => said.includes("no queue was bound for a message, the queues were declared again"),
    );
  }
});

t.test("queues that cannot be made again are a failure that is told", { skip }, async (t) => {
  const { publisher, exchange, ready } = startPublisher(t, { url: broker.url });
  await ready();
  const consumer = await openTestConsumer(t, broker.url, exchange);
  const queue = `${exchange}.metrics.raw`;
  await consumer.channel.deleteQueue(queue);
  await consumer.channel.assertQueue(queue, { exclusive: true });
  await eventually(
    async () => publisher.publish("metrics.raw", messages(1)),
    ([outcome]) => outcome === "unroutable",
  );
  t.match(publisher.state, {
    connected: true,
    lastError: { message: /the queues could not be declared: .*RESOURCE_LOCKED/ },
  });
});

t.test("messages that no queue is bound for are told from others between them", { skip }, async (t) => {
  const { exchange, ready: declared } = startPublisher(t, { url: broker.url });
  await declared();
  const { publisher, ready } = startPublisher(t, { url: broker.url, topology: { exchange, declare: false } });
  await ready();
  const consumer = await openTestConsumer(t, broker.url, exchange);
  await consumer.channel.deleteQueue(`${exchange}.events.raw`);
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const topic = index % 2 === 0 ? "metrics.raw" : "events.raw";
      return { topic, outcomes: await publisher.publish(topic, messages(20)) };
    }),
  );
  const found = (topic: string) =>
    new Set(outcomes.filter((each) => each.topic === topic).flatMap((each) => each.outcomes));
  t.same([...found("metrics.raw")], ["confirmed"]);
  t.same([...found("events.raw")], ["unroutable"]);
});

t.test("a queue that is full refuses messages, and takes them again when there is room", { skip }, async (t) => {
  const { publisher, exchange, ready } = startPublisher(t, { url: broker.url, topology: { maxLength: 5 } });
  await ready();
  const sent = messages(1_000);
  const outcomes: string[] = [];
  // A quorum queue notices a little late.
  while (!outcomes.includes("refused")) outcomes.push(...(await publisher.publish("metrics.raw", sent.splice(0, 5))));
  t.ok(outcomes.length < 100, `refused after ${outcomes.length}`);
  const consumer = await openTestConsumer(t, broker.url, exchange);
  await consumer.consumeAll();
  await eventually(
    () => publisher.publish("metrics.raw", messages(1)),
    ([outcome]) => outcome === "confirmed",
  );
  const confirmed = outcomes.filter((outcome) => outcome === "confirmed").length;
  t.ok(consumer.received("metrics.raw").length >= confirmed, "what was confirmed is there");
});

t.test("a broker that is short of memory takes nothing for a while", { skip }, async (t) => {
  const { publisher, ready, lines } = startPublisher(t, { url: broker.url, timing: { confirmTimeoutMs: 200 } });
  const other = startPublisher(t, { url: broker.url, timing: { drainMs: 100 } });
  await Promise.all([ready(), other.ready()]);
  await broker.control("set_vm_memory_high_watermark", "absolute", "1");
  t.teardown(() => broker.control("set_vm_memory_high_watermark", "0.4"));
  const blocked = publisher.publish("metrics.raw", messages(1));
  const alsoBlocked = other.publisher.publish("metrics.raw", messages(1));
  await eventually(
    async () => [publisher.isReady, other.publisher.isReady],
    (isReady) => isReady.every((each) => !each),
  );
  t.match(publisher.state, { connected: true, blocked: /low on memory/, inFlight: 1 });

  const startedAt = performance.now();
  await other.publisher.close();
  t.ok(performance.now() - startedAt < 3_000, "closing does not wait for it");
  t.same(await alsoBlocked, ["lost"]);

  await broker.control("set_vm_memory_high_watermark", "0.4");
  t.same(await blocked, ["confirmed"], "which is no failure, however long it takes");
  t.equal(publisher.isReady, true);
  t.match(
    lines.map(({ msg }) => msg),
    ["connected to the broker", "the broker takes no messages", "the broker takes messages again"],
  );
});

t.test("a broker that is not there, and then is", { skip }, async (t) => {
  const proxy = await startTcpProxy(t, portOf(broker.url));
  proxy.refuse(true);
  const { publisher, ready, lines } = startPublisher(t, { url: proxy.through(broker.url) });
  await eventually(
    async () => lines.filter(({ level }) => level === "warn").length,
    (failures) => failures >= 3,
  );
  proxy.refuse(false);
  await ready();
  t.same(await publisher.publish("metrics.raw", messages(1)), ["confirmed"]);
  const several = startPublisher(t, { url: `amqp://127.0.0.1:1,${broker.url}` });
  await several.ready();
  t.equal(several.publisher.state.broker, broker.url.replace("guest:guest@", "").concat("/"), "the next node is tried");
});

t.test("queues that exist with other properties are used as they are", { skip }, async (t) => {
  const exchange = uniqueExchange();
  const consumer = await openTestConsumer(t, broker.url, exchange);
  await consumer.channel.assertQueue(`${exchange}.metrics.raw`, { durable: true });
  const { publisher, ready, lines } = startPublisher(t, { url: broker.url, topology: { exchange } });
  await ready();
  t.same(await publisher.publish("metrics.raw", messages(1)), ["confirmed"]);
  t.match(
    lines.filter(({ level }) => level === "warn"),
    [{ queue: `${exchange}.metrics.raw`, reason: /x-queue-type/ }],
  );
});

t.test("an exchange of another kind, or none where the operator makes it, is said", { skip }, async (t) => {
  const exchange = uniqueExchange();
  const consumer = await openTestConsumer(t, broker.url, exchange);
  await consumer.channel.assertExchange(exchange, "fanout");
  const { publisher } = startPublisher(t, { url: broker.url, topology: { exchange } });
  const other = startPublisher(t, { url: broker.url, topology: { declare: false } });
  const errorOf = (each: RabbitMqPublisher) =>
    eventually(
      async () => each.state.lastError?.message,
      (message) => message !== undefined,
    );
  t.match(await errorOf(publisher), /exchange test-\w+ exists, but is no durable topic exchange/);
  t.match(await errorOf(other.publisher), /exchange test-\w+ does not exist: declare it/);

  await consumer.channel.assertExchange(other.exchange, "topic");
  t.teardown(() => consumer.channel.deleteExchange(other.exchange).catch(() => {}));
  await other.ready();
  t.same(await other.publisher.publish("metrics.raw", messages(1)), ["unroutable"], "no queue was made");
});

t.test("a wrong password is said without it", { skip }, async (t) => {
  const url = broker.url.replace("guest:guest", "guest:s%C3%A4cret");
  const { publisher, lines } = startPublisher(t, { url });
  const error = await eventually(
    async () => publisher.state.lastError,
    (found) => found !== undefined,
  );
  t.match(error?.message, /^cannot connect to amqp:\/\/127\.0\.0\.1:\d+\/: .*ACCESS_REFUSED/);
  t.notMatch(JSON.stringify([lines, publisher.state]), /cret/);
});

t.test("a virtual host that is not there is named as the reason", { skip }, async (t) => {
  const { publisher } = startPublisher(t, { url: `${broker.url}/nowhere` });
  const error = await eventually(
    async () => publisher.state.lastError,
    (found) => found !== undefined,
  );
  t.match(error?.message, /\/nowhere: the virtual host does not exist, or the user has no access to it$/);
});

t.test("closing", { skip }, async (t) => {
  await t.test("waits for confirms", async (t) => {
    const { publisher, ready } = startPublisher(t, { url: broker.url });
    await ready();
    const outcomes = publisher.publish("metrics.raw", messages(500));
    await publisher.close();
    t.same(new Set(await outcomes), new Set(["confirmed"]));
    t.same(await publisher.publish("metrics.raw", messages(1)), ["lost"]);
  });
  await t.test("does not wait for a connection", async (t) => {
    const proxy = await startTcpProxy(t, portOf(broker.url));
    proxy.silence();
    const { publisher } = startPublisher(t, { url: proxy.through(broker.url) });
    await eventually(
      async () => proxy.open,
      (open) => open === 1,
    );
    await publisher.close();
    await eventually(
      async () => proxy.open,
      (open) => open === 0,
    );
    t.pass("its socket is gone, too");
  });
});

t.test("TLS", { skip }, async (t) => {
  const { url } = broker;
  const { tlsUrl } = broker;
  await t.test("with a CA of one's own", async (t) => {
    const { publisher, ready } = startPublisher(t, { url: tlsUrl, tls: { caFile: server.certFile } });
    await ready();
    t.same(await publisher.publish("metrics.raw", messages(1)), ["confirmed"]);
  });
  await t.test("not with a broker whose certificate is not of that CA, or of another name", async (t) => {
    const stranger = startPublisher(t, { url: tlsUrl });
    const misnamed = startPublisher(t, {
      url: tlsUrl.replace("localhost", "127.0.0.2"),
      tls: { caFile: server.certFile },
    });
    const plain = startPublisher(t, { url: url.replace("amqp:", "amqps:") });
    const missing = startPublisher(t, { url: tlsUrl, tls: { caFile: join(directory, "missing.crt") } });
    for (const [{ publisher }, reason] of [
      [stranger, /self-signed certificate/],
      [misnamed, /ECONNREFUSED|does not match certificate/],
      [plain, /wrong version number|packet length|ECONNRESET|disconnected/],
      [missing, /ENOENT.*missing.crt/],
    ] as const) {
      const error = await eventually(
        async () => publisher.state.lastError,
        (found) => found !== undefined,
      );
      t.match(error?.message, reason);
    }
  });
  await t.test("a client certificate is who asks, unless the URL names a user", async (t) => {
    await broker.control("add_user", "forged", "unused");
    await broker.control("set_permissions", "forged", ".*", ".*", ".*");
    const key = createTestKey();
    const certFile = join(directory, "client.crt");
    const keyFile = join(directory, "client.key");
    await writeFile(certFile, await forgeCertificate(clientCa.key, { key, uris: ["urn:test"] }));
    await writeFile(keyFile, key.privateKeyPem);
    const tls = { caFile: server.certFile, client: { certFile, keyFile } };
    const { publisher, ready } = startPublisher(t, { url: tlsUrl.replace("guest:guest@", ""), tls });
    await ready();
    t.same(await publisher.publish("metrics.raw", messages(1)), ["confirmed"]);
    t.match(await broker.control("list_connections", "user", "auth_mechanism"), /forged\s+EXTERNAL/);
    const named = startPublisher(t, { url: tlsUrl, tls });
    await named.ready();
    t.match(await broker.control("list_connections", "user", "auth_mechanism"), /guest\s+PLAIN/);
  });
});
