import t from "tap";
import { queueNameOf } from "../../dist/broker/rabbitmq/topology.js";
import { readBacklog, readUnroutable } from "../../dist/store/outbox/backlog.js";
import { startHeartbeats } from "../support/agents/heartbeat-load.js";
import { CountingConsumer } from "../support/broker/counting-consumer.js";
import {
  enrolSome,
  MEANWHILE,
  onBroker,
  openFaultScene,
  SOON,
  untilAcknowledged,
} from "../support/broker/fault-scene.js";
import { startTestBroker } from "../support/broker/test-broker.js";
import { runCommand } from "../support/commands/cli.js";
import { startProcess } from "../support/commands/process.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";

const { broker, skip } = await startTestBroker(t);

t.test("whatever happens to instances and queues, what is stored is consumed", { skip }, async (t) => {
  const { proxy, service, brokerEnv, exchange, queue, consumer, loads, spare, fault } = await openFaultScene(t, broker);
  const countConnections = async () => (await broker.control("list_connections", "pid")).trim().split("\n").length;

  await fault(
    "no queue is bound any more",
    () => onBroker(broker, (channel) => channel.unbindQueue(queue, exchange, "metrics.raw")),
    async () => {
      await untilAcknowledged(loads, MEANWHILE);
      t.same(await readUnroutable(service.store.db), [], "it is bound again, and nothing is set aside");
    },
  );
  for (const load of loads) await load.stop();

  for (const [when, silence] of [
    ["commit and publish", () => proxy.silence()],
    ["publish and confirm", () => proxy.silence("to client")],
  ] as const) {
    await t.test(`an instance is killed between ${when}`, async (t) => {
      const doomed = startProcess(t, ["serve"], { env: { ...service.env, ...brokerEnv, INGEST_LOG_LEVEL: "info" } });
      await doomed.saw(/"ready"/);
      await doomed.saw(/connected to the broker/);
      const port = /"grpcPort":(\d+)/.exec(doomed.output())?.[1];
      silence();
      const load = await startHeartbeats({ address: `localhost:${port}`, ca: service.ca }, spare);
      await untilAcknowledged([load], MEANWHILE);
      doomed.kill("SIGKILL");
      await doomed.exited;
      await load.stop();
      t.ok((await readBacklog(service.store.db)).length > 0, "messages had no confirm");
      proxy.cut();
      proxy.resume();
      // As if the minute had passed after which its rows are anybody's.
      await service.database.query("update ingest.outbox set leased_until = now() where leased_until is not null");
      const repeats = consumer.repeats;
      await consumer.takeAll(service.database);
      t.comment(`${consumer.repeats - repeats} repeats`);
    });
  }

  await t.test("a queue that is full refuses messages, which wait", async (t) => {
    const env = { INGEST_AMQP_URL: broker.url, INGEST_AMQP_EXCHANGE: "full", INGEST_AMQP_QUEUE_MAX_LENGTH: "20" };
    const full = await startTestService(t, { env, timing: SOON });
    const load = await startHeartbeats(full, await enrolSome(full, await full.createToken()));
    await untilAcknowledged([load], MEANWHILE);
    await load.stop();
    t.ok((await readBacklog(full.store.db)).some(({ topic }) => topic === "metrics.raw"));
    const taker = new CountingConsumer(broker.url, queueNameOf("full", "metrics.raw"));
    await taker.takeAll(full.database);
    t.comment(`${taker.repeats} repeats`);
  });

  await t.test("messages that no queue is bound for are set aside, and published again on request", async (t) => {
    const own = "operators-own";
    const queue = queueNameOf(own, "metrics.raw");
    await onBroker(broker, (channel) => channel.assertExchange(own, "topic"));
    const env = { INGEST_AMQP_URL: broker.url, INGEST_AMQP_EXCHANGE: own, INGEST_AMQP_DECLARE: "false" };
    const service = await startTestService(t, { env, timing: SOON });
    const load = await startHeartbeats(service, await enrolSome(service, await service.createToken()));
    await untilAcknowledged([load], MEANWHILE);
    await load.stop();
    await eventually(
      async () => [await readBacklog(service.store.db), await readUnroutable(service.store.db)] as const,
      ([waiting, aside]) => waiting.length === 0 && aside.some(({ topic }) => topic === "metrics.raw"),
    );
    await onBroker(broker, async (channel) => {
      await channel.assertQueue(queue);
      await channel.bindQueue(queue, own, "metrics.raw");
    });
    await runCommand({ DATABASE_URL: service.database.url }, ["queue", "retry"]);
    await new CountingConsumer(broker.url, queue).takeAll(service.database);
  });

  await t.test("connections that cannot be used are given back to the broker", async (t) => {
    await onBroker(broker, (channel) => channel.assertExchange("other-kind", "fanout"));
    const before = await countConnections();
    const env = { INGEST_AMQP_URL: broker.url, INGEST_AMQP_EXCHANGE: "other-kind" };
    await startTestService(t, { of: service, env, timing: SOON });
    await eventually(
      () => service.database.query("select from ingest.publishers where last_error like '%other-kind%'"),
      (rows) => rows.length === 1,
    );
    // One may be being tried at the moment.
    await eventually(countConnections, (count) => count <= before + 1);
  });
});
