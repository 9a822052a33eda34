import { type DescMessage, fromJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, createContextValues } from "@connectrpc/connect";
import { encodeEnvelope, type UniversalHandler, type UniversalHandlerFn } from "@connectrpc/connect/protocol";
import type { ByteBudget } from "../../lib/bounds/byte-budget.js";
import { EnvelopeAssembler } from "./envelope-assembler.js";
import { GrowingBuffer } from "./growing-buffer.js";
import { brokenOff, busy, tooLarge, tooSlow } from "./message-errors.js";
import { type MessageLimits, MessageScreen } from "./message-screen.js";
import { shapeOf } from "./message-shape.js";
import { RequestPieces } from "./request-pieces.js";
import { parseRequestType } from "./request-type.js";
import { clampTimeout } from "./timeout-header.js";

/** How long a message may take to arrive that is all of its request, unless told otherwise, in milliseconds. */
const MESSAGE_MS = 20_000;
/** It names what the caller sent, and goes into a header. */
const MAX_DETAIL_LENGTH = 200;

/** Is told why a request could not be read. */
export type OnUnreadable = (
  request: { method: { name: string }; contextValues: ContextValues; signal: AbortSignal },
  error: unknown,
) => void;

/**
 * Puts a screen before a handler of Connect. What reaches that is not compressed, well-formed and within the limits, so
 * that decoding it costs little; what does not pass is answered by it, with the error that the body ends in.
 *
 * @param budget holds each message from its first byte on: until a unary call is answered, or a stream asks for the
 * next one
 * @param messageMs how long a message may take that is all of its request: it is read before it is known who calls
 */
export function screenRequests(
  handler: UniversalHandler,
  {
    limits,
    budget,
    messageMs = MESSAGE_MS,
    onUnreadable,
  }: { limits: MessageLimits; budget: ByteBudget; messageMs?: number; onUnreadable?: OnUnreadable | undefined },
): UniversalHandlerFn {
  const shape = shapeOf(handler.method.input);
  const isUnary = handler.method.methodKind === "unary";
  const isOneMessage = isUnary || handler.method.methodKind === "server_streaming";
  return async (request) => {
    const header = new Headers(request.header);
    clampTimeout(header);
    const type = parseRequestType(header.get("content-type"));
    // It is answered without a look at its body.
    if (type === undefined) return handler({ ...request, header, body: noPieces() });
    const pieces = new RequestPieces(request.body as AsyncIterable<Uint8Array>);
    const slow = isOneMessage ? setTimeout(() => pieces.end(tooSlow(messageMs)), messageMs).unref() : undefined;
    const account = budget.open(() => pieces.end(busy()));
    request.signal.addEventListener("abort", () => account.close(), { once: true });
    const requireDecodable =
      isOneMessage && type.format === "json"
        ? (message: Uint8Array) => requireJson(handler.method.input, message)
        : undefined;
    const screen = new MessageScreen(
      { limits, shape, account, type, requireDecodable },
      header.get(type.encodingHeader),
    );
    header.delete(type.encodingHeader);
    header.delete("content-length");
    const screened = type.hasEnvelopes
      ? screenEnvelopes(pieces, screen, limits, isUnary ? () => {} : () => account.release())
      : screenWhole(pieces, screen, limits);
    const { contextValues = createContextValues(), signal } = request;
    // Of a stream the interceptors see what its reading fails with.
    const body = isOneMessage
      ? tellOf(screened, (error) => onUnreadable?.({ method: handler.method, contextValues, signal }, error))
      : screened;
    try {
      return await handler({ ...request, contextValues, header, body });
    } finally {
      if (isUnary) {
        clearTimeout(slow);
        account.close();
      }
    }
  };
}

/** Of a value of another type than its field: Connect's handler answers it, and tells nobody. */
function requireJson(input: DescMessage, message: Uint8Array): void {
  try {
    fromJsonString(input, new TextDecoder().decode(message), { ignoreUnknownFields: true });
  } catch (cause) {
    const detail = (cause as Error).message.slice(0, MAX_DETAIL_LENGTH);
    throw new ConnectError(`malformed request: ${detail}`, Code.InvalidArgument, undefined, undefined, cause);
  }
}

async function* tellOf<T>(pieces: AsyncIterable<T>, onError: (error: unknown) => void): AsyncGenerator<T> {
  try {
    yield* pieces;
  } catch (error) {
    onError(error);
    throw error;
  }
}

async function* noPieces(): AsyncGenerator<Uint8Array> {}

/** @param onNext is called when the message before is done with */
async function* screenEnvelopes(
  pieces: RequestPieces,
  screen: MessageScreen,
  { maxBytes }: MessageLimits,
  onNext: () => void,
): AsyncGenerator<Uint8Array> {
  screen.requireEncoding();
  const assembler = new EnvelopeAssembler(maxBytes, screen);
  for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) {
    assembler.push(piece.value);
    for (let envelope = assembler.take(); envelope !== undefined; envelope = assembler.take()) {
      const { data, isCompressed } = envelope;
      yield encodeEnvelope(0, isCompressed ? await screen.admitCompressed(data) : screen.admit(data));
      onNext();
    }
  }
  if (assembler.isMidway) throw brokenOff();
}

/** A body that is one message. */
async function* screenWhole(
  pieces: RequestPieces,
  screen: MessageScreen,
  { maxBytes }: MessageLimits,
): AsyncGenerator<Uint8Array> {
  screen.requireEncoding();
  const body = new GrowingBuffer(screen);
  for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) {
    if (body.length + piece.value.length > maxBytes) throw tooLarge(maxBytes);
    body.append(piece.value, maxBytes);
  }
  yield screen.isCompressed ? await screen.admitCompressed(body.take()) : screen.admit(body.take());
}
