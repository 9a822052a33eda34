import { type Channel, connect } from "amqplib";
import type { Test } from "tap";
import { queueNameOf } from "../../../dist/broker/rabbitmq/topology.js";
import { enrol, type TestIdentity } from "../agents/field-agent.js";
import { type HeartbeatLoad, startHeartbeats } from "../agents/heartbeat-load.js";
import { eventually } from "../eventually.js";
import { startTestService, type TestService } from "../service.js";
import { startTcpProxy, type TcpProxy } from "../wire/tcp-proxy.js";
import { CountingConsumer } from "./counting-consumer.js";
import type { PrivateRabbitMq } from "./rabbitmq.js";

const EXCHANGE = "faults";
const AGENTS = 3;
/** What the agents of each instance get acknowledged while something is wrong. */
export const MEANWHILE = 60;
/** A service that tries again soon. */
export const SOON = {
  publisher: { reconnect: { baseMs: 20, maxMs: 200 } },
  queue: { relayPollMs: 100, reportMs: 50, upkeep: { boundsMs: 100 } },
};

/** Two instances that publish to one broker, the first of them through a proxy, and a consumer that counts. */
export interface FaultScene {
  broker: PrivateRabbitMq;
  proxy: TcpProxy;
  service: TestService;
  /** Where the first instance finds its broker. */
  brokerEnv: Record<string, string>;
  exchange: string;
  queue: string;
  consumer: CountingConsumer;
  /** Agents at both instances. */
  loads: HeartbeatLoad[];
  /** Agents that have no stream yet. */
  spare: TestIdentity[];
  /**
   * Something goes wrong; agents are acknowledged meanwhile; it ends, and what was consumed is what is stored.
   */
  fault(name: string, begin: () => Promise<unknown>, end: () => Promise<unknown>): Promise<unknown>;
}

/** Opens the scene, with agents that send until they are stopped. */
export async function openFaultScene(t: Test, broker: PrivateRabbitMq): Promise<FaultScene> {
  const proxy = await startTcpProxy(t, Number(new URL(broker.url).port));
  const brokerEnv = { INGEST_AMQP_URL: proxy.through(broker.url), INGEST_AMQP_EXCHANGE: EXCHANGE };
  const service = await startTestService(t, { env: brokerEnv, timing: SOON });
  const direct = { ...brokerEnv, INGEST_AMQP_URL: broker.url };
  const other = await startTestService(t, { of: service, env: direct, timing: SOON });
  const token = await service.createToken();
  const [here = [], there = [], spare = []] = await Promise.all([1, 2, 3].map(() => enrolSome(service, token)));
  const queue = queueNameOf(EXCHANGE, "metrics.raw");
  const consumer = new CountingConsumer(broker.url, queue);
  await eventually(
    () => service.database.query("select from ingest.publishers where connected"),
    (connected) => connected.length === 2,
  );
  const loads = [await startHeartbeats(service, here), await startHeartbeats(other, there)];
  const fault: FaultScene["fault"] = (name, begin, end) =>
    t.test(name, async (t) => {
      await begin();
      // Whoever waited for the broker would get none.
      await untilAcknowledged(loads, MEANWHILE);
      await end();
      await untilAcknowledged(loads, MEANWHILE / 2);
      const repeats = consumer.repeats;
      await consumer.takeAll(service.database);
      const slowest = Math.round(Math.max(...loads.map(({ slowestMs }) => slowestMs)));
      t.comment(`${consumer.repeats - repeats} repeats, slowest acknowledgement so far ${slowest} ms`);
      const isBroken = loads.some((load) => load.isBroken);
      t.notOk(isBroken, "no stream broke");
    });
  return { broker, proxy, service, brokerEnv, exchange: EXCHANGE, queue, consumer, loads, spare, fault };
}

/** Enrols some agents. */
export async function enrolSome(service: TestService, token: string): Promise<TestIdentity[]> {
  return Promise.all(Array.from({ length: AGENTS }, () => enrol(service, token)));
}

/** Waits until the agents of each instance got so many more heartbeats acknowledged. */
export async function untilAcknowledged(loads: readonly HeartbeatLoad[], more: number): Promise<void> {
  const before = loads.map(({ acknowledged }) => acknowledged);
  await eventually(
    async () => loads.map(({ acknowledged }, index) => acknowledged - (before[index] ?? 0)),
    (counts) => counts.every((count) => count >= more),
  );
}

/** Does something as an operator of the broker would. */
export async function onBroker({ url }: PrivateRabbitMq, work: (channel: Channel) => Promise<unknown>): Promise<void> {
  const connection = await connect(url);
  await work(await connection.createChannel());
  await connection.close();
}
