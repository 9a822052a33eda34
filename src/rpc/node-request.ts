import type { connectNodeAdapter } from "@connectrpc/connect-node";
import type { CallLabels } from "../observe/call-labels.js";

type NodeHandlerParameters = Parameters<ReturnType<typeof connectNodeAdapter>>;

/** A request of HTTP/2 or HTTP/1.1. */
export type NodeRequest = NodeHandlerParameters[0];

/** What answers it. */
export type NodeResponse = NodeHandlerParameters[1];

/** Handles one request; rejects when it could not be answered. */
export type NodeHandler = (request: NodeRequest, response: NodeResponse, call: CallLabels) => Promise<void>;
