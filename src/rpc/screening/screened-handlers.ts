import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { type ConnectRouterOptions, createConnectRouter, type ServiceImpl } from "@connectrpc/connect";
import type { UniversalHandlerFn } from "@connectrpc/connect/protocol";
import type { ByteBudget } from "../../lib/bounds/byte-budget.js";
import type { MessageLimits } from "./message-screen.js";
import { type OnUnreadable, screenRequests } from "./screen-requests.js";

/** What is served, and how. */
export interface ScreenedHandlersOptions<S extends DescService> extends ConnectRouterOptions {
  service: S;
  implementation: ServiceImpl<S>;
  limitsOf: (method: DescMethod) => MessageLimits;
  /** What the messages that are being read take at one time: of all unary calls, and of all streams. */
  budgets: { unary: ByteBudget; stream: ByteBudget };
  /** How long a message may take to arrive that is all of its request, in milliseconds. */
  messageMs?: number | undefined;
  /** Told of each request of one message that cannot be read: interceptors see none of it. */
  onUnreadable?: OnUnreadable | undefined;
}

/** Connect's handlers, each behind a screen, by the path of their method. */
export function createScreenedHandlers<S extends DescService>({
  service,
  implementation,
  limitsOf,
  budgets,
  messageMs,
  onUnreadable,
  ...options
}: ScreenedHandlersOptions<S>): ReadonlyMap<string, UniversalHandlerFn> {
  const { handlers } = createConnectRouter(options).service(service, implementation);
  return new Map(
    handlers.map((handler) => {
      const budget = handler.method.methodKind === "unary" ? budgets.unary : budgets.stream;
      const limits = limitsOf(handler.method);
      return [
        handler.requestPath,
        screenRequests(handler, { limits, budget, onUnreadable, ...(messageMs !== undefined && { messageMs }) }),
      ];
    }),
  );
}
