import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import t, { type Test } from "tap";
import { createDevServerCertificate } from "../../dist/identity/server-certificate/server-certificate.js";
import type { AdmissionLimits, AdmissionTiming } from "../../dist/server/admission/admission.js";
import { Peers } from "../../dist/server/admission/peers.js";
import { peerOf } from "../../dist/server/peer.js";
import { probeAgentPort } from "../../dist/server/probes/port-probe.js";
import { startRpcListener } from "../../dist/server/rpc-listener.js";
import { eventually } from "../support/eventually.js";
import { LIMITS } from "../support/limits.js";
import { createTestLog } from "../support/log.js";

const { cert, key } = await createDevServerCertificate(["localhost"]);
const SILENT = 40;
const V2_SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

async function startListener(t: Test, limits: Partial<AdmissionLimits> = {}, admission?: Partial<AdmissionTiming>) {
  const peers = new Peers();
  const failures: string[] = [];
  const turnedAway: string[] = [];
  const listener = await startRpcListener({
    port: 0,
    address: "127.0.0.1",
    cert,
    key,
    logger: createTestLog().logger,
    handlers: {
      answer: (request, response) => {
        // As the service answers whoever looks whether it is there.
        if (request.url?.endsWith("/Register")) response.writeHead(405);
        response.end(peerOf(request, peers).address);
      },
    },
    limits: { ...LIMITS, ...limits },
    peers,
    admission,
    onHandshakeFailure: ({ reason }) => failures.push(reason),
    onTurnedAway: ({ reason, remoteAddress }) => turnedAway.push(`${reason}: ${remoteAddress}`),
  });
  t.teardown(() => listener.close());
  const open = (bytes?: Uint8Array | string): Socket => {
    const socket = connectPlain(listener.port, "127.0.0.1");
    t.teardown(() => socket.destroy());
    socket.on("error", () => {});
    if (bytes !== undefined) socket.write(bytes);
    return socket;
  };
  return { listener, failures, turnedAway, open };
}

/** Shakes hands over a connection. */
async function shakeHands(t: Test, socket: Socket): Promise<TLSSocket> {
  const secured = connectTls({ socket, ca: cert, servername: "localhost", ALPNProtocols: ["http/1.1"] });
  t.teardown(() => secured.destroy());
  secured.on("error", () => {});
  await once(secured, "secureConnect");
  return secured;
}

/** Asks the service who it thinks is at the other end. */
async function askWhoIAm(t: Test, socket: Socket): Promise<string> {
  const secured = await shakeHands(t, socket);
  secured.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  let text = "";
  for await (const chunk of secured) text += chunk;
  return /\r\n\r\n(?:[0-9a-f]+\r\n)?([0-9a-f.:]+)/.exec(text)?.[1] ?? text;
}

/** Also by a reset. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

async function answerOf(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += chunk;
  return text;
}

function version2(command: number, family: number, addresses: Uint8Array, extra = 0): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt8(0x20 | command);
  header.writeUInt8(family, 1);
  header.writeUInt16BE(addresses.length + extra, 2);
  return Buffer.concat([V2_SIGNATURE, header, addresses, Buffer.alloc(extra)]);
}

t.test("whoever speaks HTTP without TLS is told", async (t) => {
  const { open, failures } = await startListener(t);
  for (const request of [
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    `POST /x HTTP/1.1\r\nA: ${"a".repeat(5_000)}\r\n`,
  ]) {
    const answer = await answerOf(open(request));
    t.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
    t.match(answer, /\r\n\r\nthis port takes TLS: use https:\/\/\n$/);
  }
  t.same(failures, Array(2).fill("plain HTTP: the port takes TLS"));
  t.equal(await askWhoIAm(t, open()), "127.0.0.1", "and others are served");
});

t.test("whoever speaks HTTP without TLS is told, also when it begins late", async (t) => {
  const { open, listener } = await startListener(t, { maxHandshakes: 1 }, { slotMs: 20 });
  const socket = open();
  await eventually(
    async () => listener.connections,
    (count) => count === 1,
  );
  // The place of the first one is given on.
  await shakeHands(t, open());
  socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  t.match(await answerOf(socket), /^HTTP\/1\.1 400 Bad Request\r\n/);
});

t.test("whoever speaks HTTP/2 without having offered it is told of, and HTTP/1.1 is served", async (t) => {
  const { listener, failures } = await startListener(t);
  const ask = async (request: string) => {
    const secured = connectTls({ port: listener.port, host: "localhost", ca: cert });
    t.teardown(() => secured.destroy());
    secured.write(request);
    return answerOf(secured);
  };
  const get = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  t.match(await ask(get), /^HTTP\/1\.1 200 /);
  const long = "A".repeat(200_000);
  const post = `POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${long.length}\r\n\r\n${long}`;
  t.match(await ask(post), /^HTTP\/1\.1 200 /);
  t.same(failures, []);
  t.match(await ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), /^HTTP\/1\.1 400 /);
  t.match(failures, [/^no ALPN: the client speaks HTTP\/2/]);
});

t.test("a balancer says who it speaks for", async (t) => {
  const { open, failures } = await startListener(t, { isProxy: (address) => address === "127.0.0.1" });
  const four = Buffer.from([192, 0, 2, 9, 10, 0, 0, 1, 0x12, 0x34, 0x24, 0xe3]);
  const six = Buffer.concat([Buffer.from("20010db8000000000000000000000007", "hex"), Buffer.alloc(20)]);
  const mapped = Buffer.concat([Buffer.from("00000000000000000000ffffc0000209", "hex"), Buffer.alloc(20)]);
  const headers: [string, string | Buffer, string][] = [
    ["version 1, IPv4", "PROXY TCP4 192.0.2.7 10.0.0.1 4660 9443\r\n", "192.0.2.7"],
    ["version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 4660 9443\r\n", "2001:db8::7"],
    ["version 1, a health check", "PROXY UNKNOWN\r\n", "127.0.0.1"],
    ["version 2, IPv4", version2(1, 0x11, four), "192.0.2.9"],
    ["version 1, IPv4 as IPv6", "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 4660 9443\r\n", "192.0.2.7"],
    ["version 2, IPv6", version2(1, 0x21, six), "2001:db8::7"],
    ["version 2, IPv4 as IPv6", version2(1, 0x21, mapped), "192.0.2.9"],
    ["version 2, with more than addresses", version2(1, 0x11, four, 300), "192.0.2.9"],
    ["version 2, a health check", version2(0, 0, Buffer.alloc(0)), "127.0.0.1"],
    ["version 2, a health check that names somebody all the same", version2(0, 0x11, four, 60), "127.0.0.1"],
  ];
  for (const [name, header, address] of headers) t.equal(await askWhoIAm(t, open(header)), address, name);

  const inPieces = open();
  for (const byte of version2(1, 0x11, four)) {
    inPieces.write(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.equal(await askWhoIAm(t, inPieces), "192.0.2.9", "byte by byte");

  const refused: [string | Buffer, RegExp][] = [
    ["GET / HTTP/1.1\r\n\r\n", /sends no PROXY header/],
    ["PROXY TCP4 nonsense\r\n", /malformed/],
    ["PROXY TCP4 ....:::: 10.0.0.1 4660 9443\r\n", /malformed/],
    [`PROXY TCP4 ${"1".repeat(120)}`, /without an end/],
    [version2(1, 0x11, Buffer.alloc(2)), /malformed/],
    [version2(5, 0x11, four), /unknown version/],
    [version2(1, 0x11, four, 9_000), /too long/],
  ];
  for (const [header, reason] of refused) {
    const told = failures.length;
    await answerOf(open(header)).catch(() => {});
    t.equal(failures.length, told + 1);
    t.match(failures.at(-1), reason);
  }
});

t.test("what is no request is answered behind a balancer as well", async (t) => {
  const { open } = await startListener(t, { isProxy: () => true });
  const secured = await shakeHands(t, open("PROXY TCP4 192.0.2.7 10.0.0.1 4660 9443\r\n"));
  secured.write(`GET / HTTP/1.1\r\nHost: localhost\r\nA: ${"a".repeat(40_000)}\r\n\r\n`);
  t.match(await answerOf(secured), /^HTTP\/1\.1 431 /);
});

t.test("a balancer that looks, and resets its connection before it was let in, is not told of", async (t) => {
  const { listener, open, failures } = await startListener(t, { isProxy: (address) => address === "127.0.0.1" });
  // In a process of its own that this one waits for: nothing is accepted meanwhile.
  const look = `const socket = require("node:net").connect(${listener.port}, "127.0.0.1", () =>
    socket.write("PROXY UNKNOWN\\r\\n", () => socket.resetAndDestroy()))`;
  execFileSync(process.execPath, ["-e", look]);
  t.equal(await askWhoIAm(t, open("PROXY UNKNOWN\r\n")), "127.0.0.1", "the next one is served");
  t.same(failures, []);
});

t.test("only a balancer that is trusted does", async (t) => {
  const { open, failures } = await startListener(t);
  await answerOf(open("PROXY TCP4 192.0.2.7 10.0.0.1 4660 9443\r\n")).catch(() => {});
  t.match(failures, [/PROXY header of a balancer/]);
});

t.test("no more connections than there may be", async (t) => {
  const { open, turnedAway } = await startListener(t, { maxConnections: 2 });
  const [first, second] = [await shakeHands(t, open()), await shakeHands(t, open())];
  await closed(open());
  t.same(turnedAway, ["too many connections: 127.0.0.1"]);
  t.notOk(first.destroyed || second.destroyed, "others do not notice");
  first.destroy();
  await eventually(
    async () => {
      const socket = open();
      const isTaken = await Promise.race([
        shakeHands(t, socket).then(
          () => true,
          () => false,
        ),
        closed(socket).then(() => false),
      ]);
      return isTaken;
    },
    (isTaken) => isTaken,
  );
});

t.test("no more of one address, whoever brings them", async (t) => {
  const { open, turnedAway } = await startListener(t, { maxPerAddress: 1, isProxy: () => true });
  const from = (host: number) => open(`PROXY TCP4 192.0.2.${host} 10.0.0.1 4660 9443\r\n`);
  await shakeHands(t, from(1));
  await shakeHands(t, from(2));
  const third = from(1);
  const secured = connectTls({ socket: third, ca: cert });
  secured.on("error", () => {});
  await closed(third);
  t.same(turnedAway, ["too many of this address: 192.0.2.1"]);
});

t.test("an IPv6 network counts as one address", async (t) => {
  const { open, turnedAway } = await startListener(t, { maxPerAddress: 1, isProxy: () => true });
  const from = (host: string) => open(`PROXY TCP6 ${host} 2001:db8::1 4660 9443\r\n`);
  await shakeHands(t, from("2001:db8:0:1::1"));
  await shakeHands(t, from("2001:db8:0:2::1"));
  await closed(from("2001:db8:0:1::2"));
  t.same(turnedAway, ["too many of this address: 2001:db8:0:1::2"]);
});

t.test("silent connections of one address keep nobody else waiting", async (t) => {
  const { open, listener } = await startListener(t, { maxHandshakes: 1, isProxy: () => true }, { slotMs: 500 });
  const from = (host: number) => open(`PROXY TCP4 192.0.2.${host} 10.0.0.1 4660 9443\r\n`);
  for (let count = 0; count < SILENT; count++) from(1);
  // They pass their turn on meanwhile: how many wait is never sure to be one number.
  await eventually(
    async () => listener.connections,
    (count) => count === SILENT,
  );
  await shakeHands(t, from(2));
  t.ok(listener.waitingConnections > SILENT / 2, `${listener.waitingConnections} of ${SILENT} wait still`);
});

t.test("the service's own look at its port comes in where balancers of this machine do", async (t) => {
  const isProxy = (address: string) => address === "127.0.0.1";
  const { listener, failures } = await startListener(t, { isProxy });
  const on = { port: listener.port, address: "127.0.0.1" };
  t.same(await probeAgentPort({ ...on, isProxy: () => false }, 2_000), undefined);
  t.match(failures, [/sends no PROXY header/]);
  t.ok(await probeAgentPort({ ...on, isProxy }, 2_000));
});

t.test("the service's own look at its port does not wait for a storm", async (t) => {
  const isProxy = () => true;
  const { open, listener, turnedAway } = await startListener(t, { maxHandshakes: 1, isProxy }, { slotMs: 500 });
  for (let host = 1; host <= SILENT; host++) open(`PROXY TCP4 192.0.2.${host} 10.0.0.1 4660 9443\r\n`);
  // They pass their turn on meanwhile: how many wait is never sure to be one number.
  await eventually(
    async () => listener.connections,
    (count) => count === SILENT,
  );
  t.ok(await probeAgentPort({ port: listener.port, address: "127.0.0.1", isProxy }, 30_000));
  t.ok(listener.waitingConnections > SILENT / 2, `${listener.waitingConnections} of ${SILENT} wait still`);
  t.same(turnedAway, []);
});

t.test("handshakes wait for their turn", async (t) => {
  const { open, listener } = await startListener(t, { maxHandshakes: 1 }, { slotMs: 60_000 });
  const silent = open(Uint8Array.of(0x16));
  await eventually(
    async () => listener.connections,
    (count) => count === 1,
  );
  const next = shakeHands(t, open());
  await eventually(
    async () => listener.waitingConnections,
    (count) => count === 1,
  );
  silent.destroy();
  await next;
  t.equal(listener.waitingConnections, 0);
});

t.test("a client that falls silent in its handshake holds nobody up", async (t) => {
  const { open } = await startListener(t, { maxHandshakes: 1 }, { slotMs: 50 });
  open(Uint8Array.of(0x16));
  await shakeHands(t, open());
});

t.test("who has given up meanwhile is not served", async (t) => {
  const { open, turnedAway } = await startListener(t, { maxHandshakes: 1 }, { slotMs: 200, waitMs: 1 });
  open(Uint8Array.of(0x16));
  await closed(open(Uint8Array.of(0x16)));
  t.same(turnedAway, ["waited too long: 127.0.0.1"]);
});

t.test("a balancer that does not say all of its header is cut, and told of if it says anything", async (t) => {
  const { open, failures } = await startListener(t, { isProxy: () => true }, { headerMs: 50 });
  await closed(open());
  open().destroy();
  t.same(failures, [], "it only looks whether it can connect");
  await closed(open("PROXY"));
  t.same(failures, ["the balancer sends no PROXY header"]);
});
