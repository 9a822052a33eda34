import { randomBytes } from "node:crypto";
import type { Test } from "tap";
import { skipWithout } from "../programs.js";
import { makeDirectory } from "../service.js";
import { findRabbitMq, type PrivateRabbitMq, type PrivateRabbitMqOptions, startPrivateRabbitMq } from "./rabbitmq.js";

const WHAT_IS_MISSING =
  "no RabbitMQ: set INGEST_TEST_AMQP_URL, or install rabbitmq-server (Debian: apt-get install rabbitmq-server)";

/** A broker of a test; with a reason to skip whatever uses it there is none. */
export interface MaybeBroker<T> {
  broker: T;
  skip: false | string;
}

/** Some broker: the one that `INGEST_TEST_AMQP_URL` names, which others may use, or a private one. */
export async function findTestBroker(t: Test): Promise<MaybeBroker<{ url: string }>> {
  const url = process.env.INGEST_TEST_AMQP_URL;
  return url ? { broker: { url }, skip: false } : startTestBroker(t);
}

/** A broker that the test may stop, starve and kill; it ends with the test. */
export async function startTestBroker(
  t: Test,
  options: Omit<PrivateRabbitMqOptions, "directory"> = {},
): Promise<MaybeBroker<PrivateRabbitMq>> {
  const server = await findRabbitMq();
  if (server === undefined) return { broker: undefined as never, skip: skipWithout(WHAT_IS_MISSING) };
  const broker = await startPrivateRabbitMq(server, { directory: await makeDirectory(t), ...options });
  t.teardown(() => broker.close());
  return { broker, skip: false };
}

/** A name that no other test uses, on a broker that several may share. */
export function uniqueExchange(): string {
  return `test-${randomBytes(6).toString("hex")}`;
}
