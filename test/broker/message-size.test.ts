import t from "tap";
import { BrokerEvents } from "../../dist/broker/events.js";
import { RabbitMqPublisher } from "../../dist/broker/rabbitmq/rabbitmq-publisher.js";
import { parseAmqpUrl } from "../../dist/lib/formats/amqp-url.js";
import { startTestBroker, uniqueExchange } from "../support/broker/test-broker.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";

const MAX_BYTES = 700;

const { broker, skip } = await startTestBroker(t, { config: [`max_message_size = ${MAX_BYTES}`] });

t.test("a message that is longer than the broker takes holds up no others", { skip }, async (t) => {
  const publisher = new RabbitMqPublisher({
    addresses: [parseAmqpUrl(broker.url)],
    tls: {},
    topology: { exchange: uniqueExchange(), declare: true, maxLength: 0, maxBytes: 0 },
    instanceId: "test",
    events: new BrokerEvents(createTestLog().logger),
    timing: { reconnect: { baseMs: 20, maxMs: 200 } },
  });
  t.teardown(() => publisher.close());
  const publish = async () => {
    await eventually(
      async () => publisher.isReady,
      (isReady) => isReady,
    );
    return publisher.publish(
      "metrics.raw",
      // Twice as many bytes as characters.
      ["short", "é".repeat(MAX_BYTES / 2 + 1), "short"].map((body, index) => ({
        id: `${index}`,
        type: "metrics.raw",
        timestamp: 1,
        body,
      })),
    );
  };
  const [, long] = await publish();
  t.equal(long, "lost", "it costs one channel");
  t.same(await publish(), ["confirmed", "unroutable", "confirmed"]);
  t.match(publisher.state.lastError?.message, /configured max size 700/);
  await broker.control("close_all_connections", "test");
  await eventually(
    async () => publisher.state.lastError?.message ?? "",
    (message) => !message.includes("max size"),
  );
  const [, again] = await publish();
  t.equal(again, "lost", "a broker that comes back is asked anew: it may take longer ones");
});
