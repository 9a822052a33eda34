import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { connect, type Socket } from "node:net";
import t, { type Test } from "tap";
import { answerMalformed } from "../../dist/server/requests/answer-malformed.js";

const LONG = "a".repeat(1_000_000);

async function startServer(t: Test, handler: RequestListener, restMs = 60_000): Promise<() => Socket> {
  const server = createServer(handler);
  answerMalformed(server, restMs);
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return () => {
    const socket = connect((server.address() as { port: number }).port, "127.0.0.1");
    t.teardown(() => socket.destroy());
    return socket;
  };
}

/** All that comes until the connection closes; rejects where it is reset. */
async function readAll(socket: Socket): Promise<string> {
  let text = "";
  for await (const piece of socket) text += piece;
  return text;
}

t.test("who has sent much more than is taken can read the answer", async (t) => {
  const open = await startServer(t, (request, response) => void request.resume().on("end", () => response.end()));
  const cases: [name: string, bytes: string, status: string][] = [
    ["headers", `GET / HTTP/1.1\r\nHost: x\r\nA: ${LONG}\r\n\r\n`, "431 Request Header Fields Too Large"],
    ["nonsense", `nonsense ${LONG}`, "400 Bad Request"],
    [
      "extensions of a chunk",
      `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;${LONG}`,
      "413 Payload Too Large",
    ],
  ];
  for (const [name, bytes, status] of cases) {
    const socket = open();
    // Nothing is read before all of it is sent.
    await new Promise((resolve) => socket.write(bytes, resolve));
    t.equal(await readAll(socket), `HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`, name);
  }
});

t.test("an answer that has begun is not mixed with another", async (t) => {
  const open = await startServer(t, (_, response) => response.write("begun"));
  const socket = open();
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const [begun] = await once(socket, "data");
  t.match(String(begun), /^HTTP\/1\.1 200 /);
  socket.write("nonsense\r\n");
  t.equal(await readAll(socket), "", "it is cut short");
});

t.test("the next request after an answer is", async (t) => {
  const open = await startServer(t, (_, response) => response.end("answered"));
  const socket = open();
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(socket, "data");
  socket.write("nonsense\r\n\r\n");
  t.match(await readAll(socket), /^HTTP\/1\.1 400 Bad Request\r\n/);
});

t.test("a request that was answered already is not answered again", async (t) => {
  const open = await startServer(t, (_, response) => response.end("answered"));
  const socket = open();
  socket.write("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  const [answer] = await once(socket, "data");
  t.match(String(answer), /^HTTP\/1\.1 200 /);
  socket.write("nonsense\r\n");
  t.equal(await readAll(socket), "");
});

t.test("who reads the answer and goes on all the same is cut", async (t) => {
  const open = await startServer(t, (_, response) => response.end(), 100);
  const socket = open();
  // It does not close its own end when the service does.
  socket.allowHalfOpen = true;
  socket.on("error", () => {}).resume();
  socket.write("nonsense\r\n\r\n");
  const trickle = setInterval(() => socket.write("x", () => {}), 10);
  await new Promise((resolve) => socket.once("close", resolve));
  clearInterval(trickle);
  t.pass("closed");
});
