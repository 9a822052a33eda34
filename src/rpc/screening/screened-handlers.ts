import type { DescMethod } from "@bufbuild/protobuf";
import { type ConnectRouter, type ConnectRouterOptions, createConnectRouter } from "@connectrpc/connect";
import type { UniversalHandlerFn } from "@connectrpc/connect/protocol";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { ByteBudget } from "../../lib/async/byte-budget.js";
import type { MessageLimits } from "./message-screen.js";
import { screenRequests } from "./screen-requests.js";

/** What is served, and how. */
export interface ScreenedHandlersOptions extends ConnectRouterOptions {
  routes: (router: ConnectRouter) => void;
  limitsOf: (method: DescMethod) => MessageLimits;
}

/**
 * What the messages that are being read take at one time, over all calls. Unary calls have a budget of their own: they
 * are read before it is known who makes them, and nobody is to take the room of the streams.
 */
const UNARY_BUDGET_BYTES = 32 * 1024 * 1024;
const STREAM_BUDGET_BYTES = 64 * 1024 * 1024;

/** Connect's handlers, each behind a screen, by the path of their method. */
export function createScreenedHandlers({
  routes,
  limitsOf,
  ...options
}: ScreenedHandlersOptions): ReadonlyMap<string, UniversalHandlerFn> {
  const router = createConnectRouter({
    acceptCompression: [compressionGzip, compressionBrotli],
    binaryOptions: { readUnknownFields: false },
    ...options,
  });
  routes(router);
  const unaryBudget = new ByteBudget(UNARY_BUDGET_BYTES);
  const streamBudget = new ByteBudget(STREAM_BUDGET_BYTES);
  return new Map(
    router.handlers.map((handler) => {
      const budget = handler.method.methodKind === "unary" ? unaryBudget : streamBudget;
      return [handler.requestPath, screenRequests(handler, { limits: limitsOf(handler.method), budget })];
    }),
  );
}
