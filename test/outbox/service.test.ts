import t from "tap";
import { parseMessage } from "../../dist/broker/messages/index.js";
import { enrol, heartbeat, openLiveStream } from "../support/agents/field-agent.js";
import { findTestBroker, uniqueExchange } from "../support/broker/test-broker.js";
import { openTestConsumer } from "../support/broker/test-consumer.js";
import { runCommand } from "../support/commands/cli.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { startTestService } from "../support/service.js";

const { broker, skip } = await findTestBroker(t);

t.test("each stored heartbeat is one message, each change of status another", { skip }, async (t) => {
  const exchange = uniqueExchange();
  const service = await startTestService(t, {
    env: { INGEST_AMQP_URL: broker.url, INGEST_AMQP_EXCHANGE: exchange },
    // What others write it is told of.
    timing: { queue: { relayPollMs: 600_000 } },
  });
  const a = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, a);
  stream.send(heartbeat(a.agentId, { cpuPercent: Number.NaN, timestampUnix: 1_700_000_000, agentVersion: "" }));
  await stream.next();
  stream.end();
  await stream.ended;
  const again = await openLiveStream(service, a);

  const consumer = await openTestConsumer(t, broker.url, exchange);
  await consumer.consumeAll();
  const metrics = await eventually(
    async () => consumer.received("metrics.raw"),
    (messages) => messages.length === 3,
  );
  const stored = await service.database.query("select * from host_metrics order by recorded_at");
  t.same(
    metrics.map(({ properties }) => properties.messageId),
    stored.map(({ id }) => id),
  );
  const bodies = metrics.map(({ fields, content }) => parseMessage(fields.routingKey, content).body);
  t.match(bodies[0], {
    message_id: stored[0]?.id,
    agent_id: a.agentId,
    org_id: stored[0]?.organisation_id,
    host_id: stored[0]?.host_id,
    recorded_at: stored[0]?.recorded_at.toISOString(),
    cpu: 12.5,
    memory: 40,
    disk: 55.5,
    uptime: 3_600,
    agent_version: "v1.2.3",
    os_version: "Debian 12",
  });
  t.match(bodies[1], { cpu: null, timestamp: 1_700_000_000, agent_version: "" });

  const history = await service.database.query("select * from agent_status_history order by created_at");
  const changes = await eventually(
    async () => consumer.received("agent.status"),
    (messages) => messages.length === history.length,
  );
  t.match(
    changes.map(({ fields, content }) => parseMessage(fields.routingKey, content).body),
    history.map(({ id, agent_id, organisation_id, status, reason, created_at }, index) => ({
      message_id: id,
      agent_id,
      host_id: stored[0]?.host_id,
      org_id: organisation_id,
      from: history[index - 1]?.status ?? null,
      to: status,
      reason,
      at: created_at.toISOString(),
    })),
  );
  t.same(
    changes.map(({ content }) => JSON.parse(content.toString()).to),
    ["pending", "active", "offline", "active"],
  );
  again.end();
  await again.ended;

  const env = { DATABASE_URL: service.database.url };
  t.match(await runCommand(env, ["agent", "revoke", a.agentId]), { exitCode: 0 });
  await eventually(
    async () => consumer.received("agent.status").map(({ content }) => JSON.parse(content.toString()).to),
    (told) => told.at(-1) === "revoked",
  );
});

t.test("without a broker nothing is written, and the log says so", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { logger });
  const a = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, a);
  t.same(await service.database.query("select * from ingest.outbox"), []);
  t.match(
    lines.find(({ msg }) => /no broker/.test(msg)),
    { level: "info", msg: /nothing leaves this process .INGEST_AMQP_URL./ },
  );
  stream.end();
  await stream.ended;
});
