import t from "tap";
import { hasQuorumQueues } from "../../dist/broker/rabbitmq/topology.js";
import { describeAmqpAddress, parseAmqpUrl } from "../../dist/lib/formats/amqp-url.js";

t.test("what an AMQP URL says", async (t) => {
  t.same(parseAmqpUrl("amqp://broker"), {
    protocol: "amqp",
    hostname: "broker",
    port: 5672,
    vhost: "/",
    username: "guest",
    password: "guest",
    hasCredentials: false,
    heartbeatS: 20,
  });
  t.match(parseAmqpUrl("amqps://ing%40est:p%C3%A4%2F%23@[::1]:5000/%2Fct?heartbeat=5"), {
    protocol: "amqps",
    hostname: "::1",
    port: 5000,
    vhost: "/ct",
    username: "ing@est",
    password: "pä/#",
    hasCredentials: true,
    heartbeatS: 5,
  });
  t.match(parseAmqpUrl("amqps://broker/"), { port: 5671, vhost: "/" });
  t.match(parseAmqpUrl("amqp://broker/%2F"), { vhost: "/" });
});

t.test("what is not understood is named, and no credential with it", async (t) => {
  for (const [url, reason] of [
    ["broker:5672", /must begin with amqp/],
    ["http://u:secret@broker", /must begin with amqp/],
    ["amqp://u:sec#ret@broker", /names no host|no URL/],
    ["amqp:///vhost", /names no host/],
    ["amqp://u:secret@broker/a/b", /%2F/],
    ["amqp://u:secret@broker?verify=verify_none", /parameter verify is not understood/],
    ["amqp://u:secret@broker?heartbeat=0", /from 1/],
    ["amqp://u:secret%@broker", /%25/],
    ["amqp://u:12?secret@broker", /@ after the host/],
    ["amqp://u:12/secret@broker", /@ after the host/],
    ["amqp://u:12#secret@broker", /@ after the host/],
  ] as const) {
    t.throws(() => parseAmqpUrl(url), { message: reason }, url);
    t.throws(() => parseAmqpUrl(url), { message: /^(?!.*secret)/ }, url);
  }
});

t.test("an address is shown without credentials", async (t) => {
  t.equal(describeAmqpAddress(parseAmqpUrl("amqp://u:secret@[::1]/a%2Fb")), "amqp://[::1]:5672/a%2Fb");
});

t.test("quorum queues", async (t) => {
  for (const version of ["3.8.0", "3.10.8", "4.0.5", "4.2.1-rc.1"]) {
    t.ok(hasQuorumQueues({ product: "RabbitMQ", version }), version);
  }
  for (const server of [{ product: "RabbitMQ", version: "3.7.28" }, { product: "LavinMQ", version: "4.0" }, {}]) {
    t.notOk(hasQuorumQueues(server));
  }
});
