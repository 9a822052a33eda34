/**
 * The service that connectrpc/conformance calls, behind the handlers of this service, for its cases of streams both ways.
 * CONTRIBUTING.md says how it is run: the runner starts this with the descriptors of its messages as the argument, writes a
 * `ServerCompatRequest` to standard input, and reads a `ServerCompatResponse`.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";
import { create, createFileRegistry, type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, type HandlerContext } from "@connectrpc/connect";
import { createLogger } from "../../dist/observe/logger.js";
import { createNodeHandlers } from "../../dist/rpc/http/node-handler.js";
import { endWithAnswer } from "../../dist/server/requests/end-with-answer.js";
import { guardRequests } from "../../dist/server/requests/request-guard.js";
import { answerStreams } from "../../dist/server/requests/stream-guard.js";

/** How long the rest of a request may take that is answered. */
const REST_MS = 5_000;

const PACKAGE = "connectrpc.conformance.v1";
const NO_LIMIT_BYTES = 64 * 1024 * 1024;

interface Header {
  name: string;
  value: string[];
}

/** What a request wants to be answered. */
interface Definition {
  responseHeaders: Header[];
  responseData: Uint8Array[];
  responseDelayMs: number;
  responseTrailers: Header[];
  error?: { code: number; message?: string; details: Any[] };
}

type BidiStreamRequest = Message & { responseDefinition?: Definition; fullDuplex: boolean };

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, await readFile(process.argv[2] ?? "")));

function descriptor(name: string): DescMessage {
  const found = registry.getMessage(`${PACKAGE}.${name}`);
  if (found === undefined) throw new Error(`${name} is not among the descriptors`);
  return found;
}

/** Answers one of the runner's calls as its documentation says. */
class BidiCall {
  #definition: Definition | undefined;
  #received: Any[] = [];
  #sent = 0;

  constructor(private readonly context: HandlerContext) {}

  async *answer(requests: AsyncIterable<Message>) {
    let isFirst = true;
    let isFullDuplex = false;
    for await (const request of requests as AsyncIterable<BidiStreamRequest>) {
      this.#received.push(anyPack(descriptor("BidiStreamRequest"), request));
      if (isFirst) {
        isFullDuplex = request.fullDuplex;
        this.#begin(request.responseDefinition);
      }
      isFirst = false;
      if (!isFullDuplex) continue;
      if (!this.#hasMore) break;
      yield await this.#next(true);
      this.#received = [];
    }
    while (this.#hasMore) yield await this.#next(this.#sent === 0);
    this.#fail();
  }

  #begin(definition: Definition | undefined): void {
    this.#definition = definition;
    const { responseHeader, responseTrailer } = this.context;
    for (const { name, value } of definition?.responseHeaders ?? [])
      for (const one of value) responseHeader.append(name, one);
    for (const { name, value } of definition?.responseTrailers ?? [])
      for (const one of value) responseTrailer.append(name, one);
  }

  get #hasMore(): boolean {
    return this.#sent < (this.#definition?.responseData.length ?? 0);
  }

  async #next(withInfo: boolean) {
    if (this.#definition?.responseDelayMs) await setTimeout(this.#definition.responseDelayMs);
    this.context.signal.throwIfAborted();
    const payload = {
      data: this.#definition?.responseData[this.#sent],
      ...(withInfo && { requestInfo: this.#info() }),
    };
    this.#sent += 1;
    return { payload };
  }

  #info(): Message {
    const timeoutMs = this.context.timeoutMs();
    const call = {
      requestHeaders: [...this.context.requestHeader].map(([name, value]) => ({ name, value: [value] })),
      ...(timeoutMs !== undefined && { timeoutMs: BigInt(Math.ceil(timeoutMs)) }),
    };
    const info: Record<string, unknown> = { ...(this.#sent === 0 && call), requests: this.#received };
    return create(descriptor("ConformancePayload.RequestInfo"), info);
  }

  #fail(): void {
    const error = this.#definition?.error;
    if (error === undefined) return;
    const failure = new ConnectError(error.message ?? "", error.code);
    const info = this.#sent === 0 ? [anyPack(descriptor("ConformancePayload.RequestInfo"), this.#info())] : [];
    failure.details = [...error.details, ...info].map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    }));
    throw failure;
  }
}

/** Messages on standard input and output, each after its length. */
async function readMessage(): Promise<Uint8Array> {
  let bytes = Buffer.alloc(0);
  for await (const piece of process.stdin) {
    bytes = Buffer.concat([bytes, piece]);
    if (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0)) break;
  }
  return bytes.subarray(4, 4 + bytes.readUInt32BE(0));
}

function writeMessage(message: Uint8Array): void {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  process.stdout.write(Buffer.concat([length, message]));
}

const service = registry.getService(`${PACKAGE}.ConformanceService`);
if (service === undefined) throw new Error("the service is not among the descriptors");
const asked = fromBinary(descriptor("ServerCompatRequest"), await readMessage()) as Message & {
  messageReceiveLimit: number;
};
const { answer, answerStream } = createNodeHandlers({
  service,
  // Of a service that is only described, the methods have no types.
  implementation: {
    bidiStream: (requests: AsyncIterable<Message>, context: HandlerContext) => new BidiCall(context).answer(requests),
  } as never,
  limitsOf: () => ({
    maxBytes: asked.messageReceiveLimit || NO_LIMIT_BYTES,
    maxElements: 1_000_000,
    acceptsGzip: true,
  }),
});
const logger = createLogger("silent");
const server = createServer(
  guardRequests((request, response, call) => {
    endWithAnswer(request, response, REST_MS);
    return answer(request, response, call);
  }, logger),
);
answerStreams(server, { handler: answerStream, logger });
server.listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as AddressInfo;
writeMessage(
  toBinary(
    descriptor("ServerCompatResponse"),
    create(descriptor("ServerCompatResponse"), { host: "127.0.0.1", port } as Record<string, unknown>),
  ),
);
