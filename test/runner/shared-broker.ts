import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { findRabbitMq, type PrivateRabbitMq, startPrivateRabbitMq } from "../support/broker/rabbitmq.js";

/** What a file calls that is content with any broker. */
const USE = "findTestBroker(t)";

/**
 * Starts a RabbitMQ for all files that are content with any, if there are several of them: one for each would take seven
 * seconds of processor time. Undefined where none is needed, is named by `INGEST_TEST_AMQP_URL`, or can be started.
 *
 * @param sources the directory that the files are in
 */
export async function startSharedBroker(
  files: readonly string[],
  { sources, directory }: { sources: string; directory: string },
): Promise<PrivateRabbitMq | undefined> {
  if (process.env.INGEST_TEST_AMQP_URL) return undefined;
  const texts = await Promise.all(files.map((file) => readFile(join(sources, file), "utf8")));
  if (texts.filter((text) => text.includes(USE)).length < 2) return undefined;
  const server = await findRabbitMq();
  return server === undefined ? undefined : startPrivateRabbitMq(server, { directory });
}
