import type { MessageShape } from "@bufbuild/protobuf";
import type { createMethodImplSpec, Interceptor } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import type { ByteBudget } from "../../lib/bounds/byte-budget.js";
import type { WireShape } from "../../lib/formats/wire-walk.js";
import type { MessageLimits } from "../screening/message-screen.js";

/** A method with streams both ways, and what it does. */
export type StreamMethodSpec = Extract<ReturnType<typeof createMethodImplSpec>, { kind: "bidi_streaming" }>;

/** A message of a method, either way. */
export type StreamMessage = MessageShape<StreamMethodSpec["method"]["input"]>;

/** What all calls of a method have in common. */
export interface StreamMethod {
  spec: StreamMethodSpec;
  interceptors: readonly Interceptor[];
  limits: MessageLimits;
  /** Of the messages that come in. */
  shape: WireShape;
  budget: ByteBudget;
  parse: (message: Uint8Array) => StreamMessage;
  /** Bytes of a frozen message are kept for as long as it is. */
  serialize: (message: StreamMessage) => Uint8Array;
  /** What messages that go out can be compressed with. */
  acceptCompression: Compression[];
  compressMinBytes: number;
}
