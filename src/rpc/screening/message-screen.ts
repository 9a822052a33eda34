import { createGunzip } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import type { ByteAccount } from "../../lib/bounds/byte-budget.js";
import { walkJson } from "../../lib/formats/json-walk.js";
import { type WireShape, walkWire } from "../../lib/formats/wire-walk.js";
import { type ByteHolder, GrowingBuffer } from "./growing-buffer.js";
import { busy, tooLarge } from "./message-errors.js";
import type { RequestType } from "./request-type.js";

/** How large the messages of a method may be. Nothing that an honest agent sends comes near. */
export interface MessageLimits {
  /** Of one message, before it was compressed and as it comes. */
  maxBytes: number;
  /** The same in JSON, where that is less. */
  maxJsonBytes?: number;
  /** Fields and values of one message, known or not, and of the messages in it. */
  maxElements: number;
  /** Whether messages may come compressed, with gzip. */
  acceptsGzip: boolean;
}

/** Of what a caller sent, in an answer: it goes into a header. */
const MAX_NAMED_LENGTH = 100;
/** What an element takes in memory once it is decoded. */
const ELEMENT_BYTES = 256;

/** Looks at the messages of one call before they are decoded. */
export class MessageScreen implements ByteHolder {
  readonly #encoding: string;

  /**
   * @param shape of the messages
   * @param account holds the bytes of the message that is being looked at
   * @param requireDecodable throws for a message that is within the limits and cannot be decoded all the same
   * @param encoding how the messages are compressed, as the call says
   */
  constructor(
    private readonly options: {
      limits: MessageLimits;
      shape: WireShape;
      account: ByteAccount;
      type: RequestType;
      requireDecodable?: ((message: Uint8Array) => void) | undefined;
    },
    encoding: string | null,
  ) {
    this.#encoding = encoding ?? "identity";
  }

  /** Whether the call says that its messages may be compressed. */
  get isCompressed(): boolean {
    return this.#encoding !== "identity";
  }

  /** @throws ConnectError UNIMPLEMENTED for a compression that the method does not take */
  requireEncoding(): void {
    const { limits, type } = this.options;
    const accepted = limits.acceptsGzip ? ["gzip"] : [];
    if (["identity", ...accepted].includes(this.#encoding)) return;
    throw new ConnectError(
      `this method takes no messages that are compressed with ${this.#encoding.slice(0, MAX_NAMED_LENGTH)}`,
      Code.Unimplemented,
      { [type.acceptEncodingHeader]: accepted.join() || "identity" },
    );
  }

  /** Holds bytes before they are kept. */
  hold(bytes: number): void {
    if (!this.options.account.hold(bytes)) throw busy();
  }

  /**
   * Looks at a message that has arrived, and returns it.
   *
   * @throws ConnectError INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE
   */
  admit(message: Uint8Array): Uint8Array {
    const { limits, shape, account, type } = this.options;
    account.settle();
    const { maxJsonBytes = limits.maxBytes } = limits;
    if (type.format === "json" && message.length > maxJsonBytes) throw tooLarge(maxJsonBytes);
    const walk = type.format === "json" ? walkJson(message, limits) : walkWire(message, shape, limits);
    if ("problem" in walk) {
      throw walk.problem === "malformed"
        ? new ConnectError(`malformed request: ${walk.detail}`, Code.InvalidArgument)
        : new ConnectError(`the message has ${walk.detail}, which this method does not take`, Code.ResourceExhausted);
    }
    this.hold(walk.elements * ELEMENT_BYTES);
    this.options.requireDecodable?.(message);
    return message;
  }

  /**
   * Does the same with a message that is compressed, and returns it as it was before.
   *
   * @throws ConnectError INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE; INTERNAL when the call does not say how
   */
  async admitCompressed(data: Uint8Array): Promise<Uint8Array> {
    this.options.account.settle();
    return this.admit(await this.#decompress(data));
  }

  async #decompress(data: Uint8Array): Promise<Uint8Array> {
    // As the specification of gRPC wants it.
    if (!this.isCompressed) {
      throw new ConnectError("a message is compressed, and the call does not say how", Code.Internal);
    }
    const { maxBytes } = this.options.limits;
    const message = new GrowingBuffer(this);
    // Nothing is compressed to nothing.
    if (data.length === 0) return data;
    const gunzip = createGunzip();
    gunzip.end(data);
    try {
      for await (const piece of gunzip as AsyncIterable<Uint8Array>) {
        if (message.length + piece.length > maxBytes) throw tooLarge(maxBytes);
        message.append(piece, maxBytes);
      }
    } catch (cause) {
      if (cause instanceof ConnectError) throw cause;
      throw new ConnectError(
        "malformed request: a message is not gzip",
        Code.InvalidArgument,
        undefined,
        undefined,
        cause,
      );
    }
    return message.take();
  }
}
