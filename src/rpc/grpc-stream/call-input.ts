import { parseTimeout } from "@connectrpc/connect/protocol-grpc";
import type { ByteAccount } from "../../lib/bounds/byte-budget.js";
import { busy } from "../screening/message-errors.js";
import { MessageScreen } from "../screening/message-screen.js";
import { GRPC_PROTOBUF } from "../screening/request-type.js";
import { clampGrpcTimeout } from "../screening/timeout-header.js";
import { headerOf } from "./headers.js";
import type { StreamRequest } from "./http2-stream.js";
import { MessageReader } from "./message-reader.js";
import type { StreamMessage, StreamMethod } from "./stream-method.js";

/** What a call brings. */
export interface CallInput {
  messages: MessageReader<StreamMessage>;
  /** Holds its messages. */
  account: ByteAccount;
  /** How long the caller waits, in milliseconds; undefined for as long as it takes. */
  timeoutMs: number | undefined;
}

/** Reads the headers of a call, and begins to read its messages when somebody asks for one. */
export function openInput(
  { limits, shape, budget, parse }: StreamMethod,
  { stream, headers }: Pick<StreamRequest, "stream" | "headers">,
): CallInput {
  const sent = headerOf(headers, "grpc-timeout");
  const timeout = parseTimeout(sent && clampGrpcTimeout(sent), Number.MAX_SAFE_INTEGER);
  const account = budget.open(() => messages.fail(busy()));
  const encoding = headerOf(headers, GRPC_PROTOBUF.encodingHeader);
  const screen = new MessageScreen({ limits, shape, account, type: GRPC_PROTOBUF }, encoding);
  const messages = new MessageReader({ stream, maxBytes: limits.maxBytes, screen, account, parse });
  try {
    if (timeout.error !== undefined) throw timeout.error;
    screen.requireEncoding();
  } catch (error) {
    messages.fail(error);
  }
  return { messages, account, timeoutMs: timeout.timeoutMs };
}
