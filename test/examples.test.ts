import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import t from "tap";
import ts from "typescript";
import { queueNameOf } from "../dist/broker/rabbitmq/topology.js";
import { findTestBroker, uniqueExchange } from "./support/broker/test-broker.js";
import { openTestConsumer } from "./support/broker/test-consumer.js";
import { eventually } from "./support/eventually.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const { broker, skip } = await findTestBroker(t);

const metrics = {
  message_id: "m1",
  agent_id: "web-01",
  org_id: "o",
  host_id: "h",
  timestamp: 1,
  recorded_at: "2027-01-15T08:00:00.000Z",
  cpu: 12.5,
  memory: 1,
  disk: 1,
  uptime: 1,
  agent_version: "v1",
  os_version: "",
};

/** Compiled where what it imports is found; `npm run check` looks at its types. */
async function compileExample(): Promise<string> {
  const source = await readFile(`${ROOT}/examples/consumer.ts`, "utf8");
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  });
  await mkdir(`${ROOT}/test-dist/examples`, { recursive: true });
  const path = `${ROOT}/test-dist/examples/consumer.js`;
  await writeFile(path, outputText);
  return path;
}

t.test("the example prints each message once, and says of a malformed one what is wrong", { skip }, async (t) => {
  const exchange = uniqueExchange();
  const queue = queueNameOf(exchange, "metrics.raw");
  const { channel } = await openTestConsumer(t, broker.url, exchange);
  await channel.assertExchange(exchange, "topic");
  await channel.assertQueue(queue, { durable: true });
  await channel.bindQueue(queue, exchange, "metrics.raw");
  const publish = (messageId: string, body: object) =>
    channel.publish(exchange, "metrics.raw", Buffer.from(JSON.stringify(body)), { messageId });
  publish("m1", metrics);
  publish("m1", metrics);
  publish("m2", { ...metrics, cpu: "much" });
  publish("m3", { ...metrics, agent_id: "web-02" });

  const example = spawn(process.execPath, [await compileExample(), broker.url, queue]);
  t.teardown(() => example.kill("SIGKILL"));
  const text = { out: "", err: "" };
  example.stdout.on("data", (chunk) => {
    text.out += chunk;
  });
  example.stderr.on("data", (chunk) => {
    text.err += chunk;
  });
  await eventually(
    async () => text,
    ({ out }) => out.includes("web-02"),
  );
  t.equal(text.out, "web-01 cpu 12.5\nweb-02 cpu 12.5\n");
  t.match(text.err, /a message of metrics.raw is malformed: .*cpu/s);
  const ended = once(example, "exit");
  example.kill("SIGTERM");
  t.same(await ended, [0, null]);
  t.equal((await channel.checkQueue(queue)).messageCount, 0, "each was acknowledged");
});
