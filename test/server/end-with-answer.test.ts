import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { Agent, createServer, request as httpRequest } from "node:http";
import { connect, createServer as createHttp2Server, createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import t from "tap";
import { devTlsFilesIn } from "../../dist/cli/dev/dev-tls.js";
import { endWithAnswer } from "../../dist/server/requests/end-with-answer.js";
import { fixtureFile } from "../support/fixtures.js";

/** How long the rest of a request may take that is answered. */
const REST_MS = 5_000;

t.test("HTTP/2: a request that is answered before it ends is over, with all of its answer", async (t) => {
  const server = createHttp2Server(async (request, response) => {
    endWithAnswer(request, response, REST_MS);
    // Begins to read, and stops.
    await request[Symbol.asyncIterator]().next();
    response.addTrailers({ "grpc-status": "8" });
    response.end("no");
  });
  await once(server.listen(0), "listening");
  const session = connect(`http://localhost:${(server.address() as AddressInfo).port}`);
  t.teardown(async () => {
    session.destroy();
    server.close();
    await once(server, "close");
  });
  const stream = session.request({ ":method": "POST", ":path": "/" });
  stream.setEncoding("utf8");
  let body = "";
  let trailers: unknown;
  stream.on("data", (piece) => {
    body += piece;
  });
  stream.on("trailers", (received) => {
    trailers = received;
  });
  // More than flow control lets through, and no end.
  stream.write(Buffer.alloc(200_000));
  await once(stream, "close");
  t.equal(body, "no");
  t.match(trailers, { "grpc-status": "8" });
  t.equal(stream.rstCode, 0);
});

t.test("HTTP/2: answers that wait for what is being written keep their trailers", async (t) => {
  const { certFile, keyFile } = devTlsFilesIn(fixtureFile("tls"));
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  // Over TLS a write always takes a while.
  const server = createSecureServer({ cert, key }, (request, response) => {
    endWithAnswer(request, response, REST_MS);
    response.write("no");
    response.addTrailers({ "grpc-status": "8" });
    response.end();
  });
  await once(server.listen(0), "listening");
  const session = connect(`https://localhost:${(server.address() as AddressInfo).port}`, { ca: cert });
  t.teardown(async () => {
    session.destroy();
    server.close();
    await once(server, "close");
  });
  const call = async (isEnded: boolean) => {
    const stream = session.request({ ":method": "POST", ":path": "/" });
    let trailers: unknown;
    stream.once("trailers", (received) => {
      trailers = received;
    });
    stream.resume().write("more than it is asked for");
    if (isEnded) stream.end();
    await once(stream, "close");
    return trailers;
  };
  const trailers = await Promise.all(Array.from({ length: 40 }, (_, index) => call(index % 2 === 0)));
  t.match(
    trailers,
    trailers.map(() => ({ "grpc-status": "8" })),
  );
});

t.test("HTTP/1.1: the answer is read, and the connection is good for the next request", async (t) => {
  const server = createServer(async (request, response) => {
    endWithAnswer(request, response, REST_MS);
    await request[Symbol.asyncIterator]().next();
    response.end("no");
  });
  await once(server.listen(0), "listening");
  const agent = new Agent({ keepAlive: true });
  t.teardown(async () => {
    agent.destroy();
    server.close();
    await once(server, "close");
  });
  const { port } = server.address() as AddressInfo;
  const ports = new Set<number>();
  for (let turn = 0; turn < 2; turn++) {
    const request = httpRequest({ port, method: "POST", agent });
    request.end(Buffer.alloc(1_000_000));
    const [response] = await once(request, "response");
    let body = "";
    for await (const piece of response) body += piece;
    t.equal(body, "no");
    ports.add(request.socket?.localPort ?? 0);
  }
  t.equal(ports.size, 1);
});
