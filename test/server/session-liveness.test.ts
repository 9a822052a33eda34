import { once } from "node:events";
import { connect, createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import t, { type Test } from "tap";
import { type SessionLivenessTiming, SessionWatch } from "../../dist/server/session-watch.js";
import { startTcpProxy } from "../support/wire/tcp-proxy.js";

function startWatch(t: Test, liveness: SessionLivenessTiming): SessionWatch {
  const idle = { headersMs: 60_000, idleMs: 60_000 };
  const watch = new SessionWatch({ liveness, idle, maxResetsPerSecond: 20, onEnded: () => {} });
  t.teardown(() => watch.stop());
  return watch;
}

t.test(
  "a peer that is dead is found although things are still written to it, and one that only listens is not",
  async (t) => {
    const watch = startWatch(t, { idleMs: 100, pingTimeoutMs: 400 });
    const server = createServer();
    const sessions: ServerHttp2Session[] = [];
    server.on("session", (session) => {
      session.on("error", () => {});
      watch.add(session, undefined);
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
  const watch = startWatch(t, { idleMs: 50, pingTimeoutMs: 100 });
  const server = createServer();
  const sessions: ServerHttp2Session[] = [];
  server.on("session", (session) => {
    watch.add(session, undefined);
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
