import t from "tap";
import { type EventMessage, parseMessage } from "../../dist/broker/messages/index.js";

const metrics = {
  message_id: "m1",
  agent_id: "a1",
  org_id: "o1",
  host_id: "h1",
  timestamp: 1_800_000_000,
  recorded_at: "2027-01-15T08:00:00.000Z",
  cpu: 12.5,
  memory: null,
  disk: 40,
  uptime: 3_600,
  agent_version: "v1",
  os_version: "",
};

const revoked: EventMessage = {
  type: "agent.revoked",
  message_id: "e1",
  org_id: "o1",
  agent_id: "a1",
  hostname: "web-01",
  reason: "lost",
  at: "2027-01-15T08:00:00.000Z",
};

function parse(routingKey: string, body: unknown) {
  return parseMessage(routingKey, Buffer.from(JSON.stringify(body)));
}

t.test("a message is read by its routing key", async (t) => {
  t.same(parse("metrics.raw", metrics), { topic: "metrics.raw", body: metrics });
  t.same(parse("events.raw", revoked), { topic: "events.raw", body: revoked });
  const status = { message_id: "s1", agent_id: "a1", host_id: null, org_id: "o1", from: "active", to: "offline" };
  const whole = { ...status, reason: "heartbeat stream ended", at: revoked.at };
  t.same(parse("agent.status", whole), { topic: "agent.status", body: whole });
});

t.test("what a later version added does not hold a consumer up", async (t) => {
  t.same(parse("metrics.raw", { ...metrics, swap: 1 }).body, metrics, "a key");
  const event = { type: "agent.renamed", message_id: "e2" };
  t.same(parse("events.raw", event), { topic: "unknown", routingKey: "events.raw", body: event }, "an event");
  t.match(parse("alerts.pending", [1]), { topic: "unknown", body: [1] }, "a topic");
  t.match(parse("events.raw", null), { topic: "unknown", body: null });
});

t.test("what is malformed is said", async (t) => {
  const { cpu: _, ...incomplete } = metrics;
  t.throws(() => parse("metrics.raw", incomplete), { name: "MalformedMessageError", message: /cpu/ });
  t.throws(() => parse("metrics.raw", { ...metrics, cpu: "12" }), { message: /metrics.raw is malformed.*cpu/s });
  t.throws(() => parse("events.raw", { ...revoked, org_id: 1 }), { message: /org_id/ });
  t.throws(() => parseMessage("metrics.raw", Buffer.from("{")), { message: /is no JSON/ });
  t.throws(() => parseMessage("metrics.raw", Buffer.from([0xff])), { message: /is no JSON/ });
});
