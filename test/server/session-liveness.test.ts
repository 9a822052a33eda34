import { once } from "node:events";
import { connect, createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import t from "tap";
import { cutWhenDead } from "../../dist/server/session-liveness.js";
import { startTcpProxy } from "../support/wire/tcp-proxy.js";

t.test(
  "a peer that is dead is found although things are still written to it, and one that only listens is not",
  async (t) => {
    const server = createServer();
    const sessions: ServerHttp2Session[] = [];
    server.on("session", (session) => {
      session.on("error", () => {});
      cutWhenDead(session, { idleMs: 100, pingTimeoutMs: 400 });
      sessions.push(session);
    });
    server.on("stream", (stream) => {
      stream.on("error", () => {});
      stream.respond();
      const writing = setInterval(() => stream.write("x"), 20);
      stream.once("close", () => clearInterval(writing));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.teardown(() => server.close());
    const { port } = server.address() as AddressInfo;
    const proxy = await startTcpProxy(t, port);
    for (const each of [port, proxy.port]) {
      const client = connect(`http://127.0.0.1:${each}`);
      client.on("error", () => {});
      t.teardown(() => client.destroy());
      const stream = client.request({}, { endStream: false });
      stream.on("error", () => {});
      stream.resume();
      await once(stream, "response");
    }
    const [listening, dead] = sessions;
    if (listening === undefined || dead === undefined) throw new Error("no sessions");
    const isCut = once(dead, "close");
    proxy.losePower();
    await isCut;
    t.notOk(listening.destroyed);
  },
);

t.test("a process that was held up does not cut those that answered meanwhile", async (t) => {
  const server = createServer();
  const sessions: ServerHttp2Session[] = [];
  server.on("session", (session) => {
    cutWhenDead(session, { idleMs: 50, pingTimeoutMs: 100 });
    sessions.push(session);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.teardown(() => client.destroy());
  client.on("error", () => {});
  const ended = once(client, "close").then(() => "cut");
  // With this it has answered; nobody has read it yet.
  await once(client, "ping");
  const heldUpUntil = performance.now() + 400;
  while (performance.now() < heldUpUntil);
  t.not(await Promise.race([ended, once(client, "ping")]), "cut", "it is asked again");
  t.equal(sessions[0]?.destroyed, false);
});
