import { parseMessage, type Topic } from "../../../dist/broker/messages/index.js";
import type { TestDatabase } from "./database.js";

/** The environment of a service whose broker is never there: what is to be published waits in its database. */
export const BROKER_AWAY = { INGEST_AMQP_URL: "amqp://127.0.0.1:1" };

/** What waits to be published, in the order in which it was committed, as a consumer would read it. */
export async function readOutbox(database: TestDatabase, topic: Topic): Promise<Record<string, unknown>[]> {
  const rows = await database.query(
    "select m as body from ingest.outbox o, json_array_elements(messages) m where topic = $1 order by o.id",
    [topic],
  );
  return rows.map(({ body }) => {
    const message = parseMessage(topic, Buffer.from(JSON.stringify(body)));
    if (message.topic === "unknown") throw new Error(`no message of ${topic}: ${JSON.stringify(body)}`);
    return message.body as unknown as Record<string, unknown>;
  });
}
