import { once } from "node:events";
import { constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { promisify } from "node:util";
import { ConnectError } from "@connectrpc/connect";
import t, { type Test } from "tap";
import { Peers } from "../../dist/server/admission/peers.js";
import { peerOf } from "../../dist/server/peer.js";
import { eventually } from "../support/eventually.js";
import { Flag, FrameType, frame, headerBlock, PREFACE } from "../support/wire/http2-frames.js";
import { message, RawStream } from "../support/wire/raw-stream.js";
import {
  type HeartbeatImpl,
  type StreamServer,
  type StreamServers,
  startStreamServers,
} from "../support/wire/stream-servers.js";

/** Resolves when all that was sent so far has been handled by the other side, and what it did at once is here. */
async function roundTrips(call: RawStream, count = 3): Promise<void> {
  for (let trips = 0; trips < count; trips++) await promisify(call.session.ping.bind(call.session))();
}

/** What a method saw of a call. */
interface Seen {
  messages: string[];
  end?: string;
  isAborted?: boolean;
}

/** Notes what a method sees of its call until reading ends, and answers each message. */
function watch(seen: Seen): HeartbeatImpl {
  return async function* (requests, { signal }) {
    try {
      for await (const { agentId } of requests) {
        seen.messages.push(agentId);
        yield { ok: true };
      }
      seen.end = "in order";
    } catch (error) {
      seen.end = error instanceof ConnectError ? `ConnectError ${error.code}` : (error as Error).name;
    }
    seen.isAborted = signal.aborted;
  };
}

async function expectOfBoth(
  servers: StreamServers,
  look: (server: StreamServer, name: string) => Promise<void>,
): Promise<void> {
  await look(servers.ours, "ours");
  await look(servers.connects, "Connect's");
}

const RESETS = ["NO_ERROR", "INTERNAL_ERROR", "REFUSED_STREAM", "CANCEL", "ENHANCE_YOUR_CALM"] as const;

/** A call made of frames: a client of Node's sends the end of its stream before it resets it. */
async function openByHand(url: string, settings = Buffer.alloc(0)): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), "localhost");
  await once(socket, "connect");
  const headers = headerBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/agent.v1.IngestService/Heartbeat"],
    [":authority", "localhost"],
    ["content-type", "application/grpc"],
  ]);
  const begin = [
    PREFACE,
    frame(FrameType.settings, 0, 0, settings),
    frame(FrameType.headers, Flag.endHeaders, 1, headers),
  ];
  socket.write(Buffer.concat(begin));
  return socket;
}

t.test("a caller that resets the stream is gone, and what it had begun to say is nothing", async (t) => {
  const servers = await startStreamServers(t);
  for (const code of RESETS) {
    for (const begun of [Buffer.alloc(0), message("half a message").subarray(0, 9)]) {
      const seen: Seen = { messages: [] };
      servers.implementation = watch(seen);
      const socket = await openByHand(servers.ours.url);
      const reset = Buffer.alloc(4);
      reset.writeUInt32BE(constants[`NGHTTP2_${code}`]);
      socket.write(frame(FrameType.data, 0, 1, Buffer.concat([message("a"), begun])));
      await eventually(
        async () => seen.messages,
        ({ length }) => length === 1,
      );
      socket.write(frame(FrameType.rstStream, 0, 1, reset));
      await eventually(
        async () => seen,
        ({ end }) => end !== undefined,
      );
      // Not that it was malformed: nobody is to be told, or counted as refused, for a stream that was cut.
      t.same(seen, { messages: ["a"], end: "ConnectError 1", isAborted: true }, `${code} after ${begun.length} bytes`);
      t.equal(servers.ours.heldBytes(), 0, "nothing is held for it");
      socket.destroy();
    }
  }
});

/** Has a method answer, waits until two more messages lie unread, and resets the stream with NO_ERROR. */
async function resetUnread(t: Test, servers: StreamServers, { window, ends }: { window: number; ends: boolean }) {
  let end = () => {};
  const mayEnd = new Promise<void>((resolve) => {
    end = resolve;
  });
  servers.implementation = async function* (requests) {
    await requests[Symbol.asyncIterator]().next();
    yield { ok: true };
    await mayEnd;
  };
  const socket = await openByHand(servers.ours.url, Buffer.from([0, 4, 0, 0, window >> 8, window & 255]));
  t.teardown(() => socket.destroy());
  socket.write(frame(FrameType.data, 0, 1, message("a")));
  const stream = await eventually(
    async () => servers.ours.newestStream(),
    (newest) => newest?.headersSent,
  );
  for (const id of ["b", "c"]) socket.write(frame(FrameType.data, 0, 1, message(id)));
  await eventually(
    async () => stream.isPaused(),
    (isPaused) => isPaused,
  );
  if (ends) end();
  await eventually(
    async () => stream.writableEnded,
    (isEnded) => isEnded === ends,
  );
  socket.write(frame(FrameType.rstStream, 0, 1, Buffer.alloc(4)));
  await eventually(
    async () => stream.closed,
    (isClosed) => isClosed,
  );
  return stream;
}

// Node keeps it until all of it is read and written, and meanwhile its sender may open others.
t.test("a stream that its caller resets with NO_ERROR is over also when something in it is unread", async (t) => {
  const stream = await resetUnread(t, await startStreamServers(t), { window: 65_535, ends: false });
  await eventually(
    async () => stream.destroyed,
    (isDestroyed) => isDestroyed,
  );
});

t.test("and when its answer is unread, at the latest when whoever answered resets it", async (t) => {
  const stream = await resetUnread(t, await startStreamServers(t), { window: 0, ends: true });
  peerOf(stream, new Peers()).reset();
  t.ok(stream.destroyed);
});

t.test("a caller whose connection breaks is gone", async (t) => {
  const servers = await startStreamServers(t);
  await expectOfBoth(servers, async (server, name) => {
    const seen: Seen = { messages: [] };
    servers.implementation = watch(seen);
    const call = await RawStream.open(server.url);
    call.write(message("a"));
    await call.received(1);
    call.write(message("half a message").subarray(0, 9));
    await roundTrips(call);
    call.session.destroy();
    await eventually(
      async () => seen,
      ({ end }) => end !== undefined,
    );
    t.match(seen, { messages: ["a"], isAborted: true }, name);
    t.not(seen.end, "in order", name);
  });
});

t.test("a method is told when what it answers is not written", async (t) => {
  const servers = await startStreamServers(t);
  await expectOfBoth(servers, async (server, name) => {
    let thrown: unknown;
    servers.implementation = async function* (_, { signal }) {
      yield { ok: true };
      await once(signal, "abort");
      try {
        yield { ok: true };
        t.fail("it was taken");
      } catch (error) {
        thrown = error;
      }
    };
    const call = await RawStream.open(server.url);
    await call.received(1);
    call.stream.close(constants.NGHTTP2_CANCEL);
    await eventually(
      async () => thrown,
      (error) => error !== undefined,
    );
    t.type(thrown, Error, name);
    call.session.destroy();
  });
});

// As grpc/grpc-node#2653: what a slow method had not asked for gathered in memory.
t.test("a caller cannot send faster than the method reads, and all of it arrives", async (t) => {
  const servers = await startStreamServers(t);
  const COUNT = 400;
  const SIZE = 10_000;
  await expectOfBoth(servers, async (server, name) => {
    let read = () => {};
    const mayRead = new Promise<void>((resolve) => {
      read = resolve;
    });
    let messages = 0;
    servers.implementation = async function* (requests) {
      for await (const _ of requests) {
        if (messages++ === 0) {
          yield { ok: true };
          await mayRead;
        }
      }
      yield { ok: true, command: "end" };
    };
    const call = await RawStream.open(server.url);
    for (let sent = 0; sent < COUNT; sent++) call.write(message("a".repeat(SIZE)));
    call.stream.end();
    await call.received(1);
    // Each would be time for another window of 64 KiB.
    await roundTrips(call, 100);
    t.ok(call.stream.writableLength > COUNT * SIZE - 300_000, `${name}: ${call.stream.writableLength} bytes wait`);
    read();
    const { trailers } = await call.answer();
    t.match(trailers, { "grpc-status": "0" }, name);
    t.equal(messages, COUNT, `${name}: all of it`);
    t.equal(server.heldBytes(), 0, name);
  });
});

// As grpc/grpc#37715 and grpc/grpc-node#1332: what a slow caller had not read gathered in memory.
t.test("a method cannot answer faster than the caller reads, and all of it arrives", async (t) => {
  const servers = await startStreamServers(t);
  const COUNT = 400;
  const SIZE = 900;
  await expectOfBoth(servers, async (server, name) => {
    let answered = 0;
    let isOver = false;
    servers.implementation = async function* () {
      for (; answered < COUNT; answered++) yield { ok: true, command: "a".repeat(SIZE) };
      isOver = true;
    };
    const call = await RawStream.open(server.url, {}, { initialWindowSize: 0 });
    await call.headers();
    const listeners = server.newestStream().listenerCount("drain");
    await roundTrips(call);
    t.ok(answered < 100, `${name}: ${answered} answers wait`);
    call.session.settings({ initialWindowSize: 10_000 });
    const { messages, trailers } = await call.answer();
    t.equal(messages.length, COUNT, name);
    t.match(trailers, { "grpc-status": "0" }, name);
    t.ok(isOver, name);
    // As connectrpc/connect-es#1524, and Node's warnings of eleven listeners of a stream that lives for long.
    t.ok(server.newestStream().listenerCount("drain") <= listeners, `${name}: no listener is left behind`);
  });
});

// As nodejs/node#31309: the end of a stream that was not read from was lost.
t.test("the end is seen that comes while nobody reads", async (t) => {
  const servers = await startStreamServers(t);
  await expectOfBoth(servers, async (server, name) => {
    for (const behind of [[], ["b"], ["b", "c"]]) {
      let goOn = () => {};
      const mayGoOn = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      const seen: string[] = [];
      servers.implementation = async function* (requests) {
        for await (const { agentId } of requests) {
          seen.push(agentId);
          yield { ok: true };
          await mayGoOn;
        }
      };
      const call = await RawStream.open(server.url);
      call.write(message("a"));
      await call.received(1);
      for (const id of behind) call.write(message(id));
      await roundTrips(call);
      call.stream.end();
      await roundTrips(call);
      goOn();
      t.match(await call.answer(), { trailers: { "grpc-status": "0" } }, `${name}, ${behind.length}`);
      t.same(seen, ["a", ...behind], name);
    }
  });
});

t.test("whoever sends half a message makes room for those who send all of it", async (t) => {
  const servers = await startStreamServers(t, 25_000);
  await expectOfBoth(servers, async (server, name) => {
    const half = message("a".repeat(8_000)).subarray(0, 6_000);
    const slow = [await RawStream.open(server.url), await RawStream.open(server.url), await RawStream.open(server.url)];
    for (const call of slow) {
      call.write(half);
      await roundTrips(call);
    }
    t.equal(server.heldBytes(), 3 * (6_000 - 5), name);
    const quick = await RawStream.open(server.url);
    quick.write(message("a".repeat(8_000)));
    quick.stream.end();
    t.match(await quick.answer(), { trailers: { "grpc-status": "0" } }, name);
    t.match(await slow[0]?.answer(), { trailers: { "grpc-status": "14", "grpc-message": /too many large/ } }, name);
    slow[1]?.session.destroy();
    slow[2]?.session.destroy();
    await eventually(
      async () => server.heldBytes(),
      (held) => held === 0,
    );
  });
});

t.test("a call holds the message that it handles, and nothing while it waits for the next one", async (t) => {
  const servers = await startStreamServers(t);
  await expectOfBoth(servers, async (server, name) => {
    const held: number[] = [];
    servers.implementation = async function* (requests) {
      for await (const _ of requests) {
        held.push(server.heldBytes());
        yield { ok: true };
      }
    };
    const call = await RawStream.open(server.url);
    call.write(Buffer.concat([message("a"), message("a")]));
    await eventually(
      async () => held.length,
      (count) => count === 2,
    );
    await roundTrips(call);
    t.equal(server.heldBytes(), 0, name);
    call.stream.end();
    await call.answer();
    // Three bytes, and one field.
    t.same(held, [259, 259], name);
  });
});
