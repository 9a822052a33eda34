import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import t from "tap";
import { createTestLog } from "../support/log.js";
import { startTestService } from "../support/service.js";
import { untilClosed } from "../support/wire/until-closed.js";

const REQUESTS = 1_000;
const HEALTH = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
const REGISTER = [
  "POST /agent.v1.IngestService/Register HTTP/1.1",
  "Host: x",
  "Content-Type: application/json",
  "Content-Length: 2",
  "",
  "{}",
].join("\r\n");

const { logger, lines } = createTestLog();
const service = await startTestService(t, { logger });
const ports: [name: "agents" | "plain", open: () => Socket, request: string][] = [
  ["plain", () => connectTcp(service.httpPort), HEALTH],
  [
    "agents",
    () => connectTls({ host: "localhost", port: service.grpcPort, ca: service.ca, ALPNProtocols: ["http/1.1"] }),
    REGISTER,
  ],
];

for (const [name, open, request] of ports) {
  t.test(`${name}: whoever waits for no answer is cut`, async (t) => {
    const answer = await untilClosed(t, open(), request.repeat(REQUESTS));
    t.ok(answer.split("HTTP/1.1 ").length <= 11, "ten are begun at most");
    const line = { msg: "connections were turned away", port: name, reason: "too many pipelined requests" };
    t.match(
      lines.filter(({ port }) => port === name),
      [line],
    );
    const metrics = await (await fetch(`http://localhost:${service.httpPort}/metrics`)).text();
    t.match(metrics, `connections_turned_away_total{port="${name}",reason="too many pipelined requests"} 1\n`);
  });

  t.test(`${name}: whoever waits is served for as long as it likes`, async (t) => {
    const socket = open();
    t.teardown(() => socket.destroy());
    for (let count = 0; count < 30; count++) {
      socket.write(request);
      t.match(String(await once(socket, "data")), /^HTTP\/1\.1 /);
    }
    const few = connectTcp(service.httpPort);
    const answer = await untilClosed(
      t,
      few,
      HEALTH.repeat(9) + HEALTH.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
    );
    t.equal(answer.split("HTTP/1.1 200 ").length - 1, 10, "and may send a few at once");
  });
}
