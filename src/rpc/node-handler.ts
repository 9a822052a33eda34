import type { ContextValues } from "@connectrpc/connect";
import {
  type connectNodeAdapter,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";

import { createScreenedHandlers, type ScreenedHandlersOptions } from "./screening/screened-handlers.js";

type NodeHandlerParameters = Parameters<ReturnType<typeof connectNodeAdapter>>;

/** A request of HTTP/2 or HTTP/1.1. */
export type NodeRequest = NodeHandlerParameters[0];

/** Handles one request; rejects when it could not be answered. */
export type NodeHandler = (...parameters: NodeHandlerParameters) => Promise<void>;

/** What is served, and how. */
export interface NodeHandlerOptions extends ScreenedHandlersOptions {
  contextValues: (request: NodeRequest) => ContextValues;
}

/** Stands in every request for the host its caller named. */
const AUTHORITY = "ct-ops-ingest";

/**
 * Serves Connect on Node's HTTP servers. connect-node's own adapter throws out of the request listener on an authority
 * that is no host of a URL (`web.1:9443`, `localhost:99999`, none at all), and reports what fails to the console alone.
 */
export function createNodeHandler({ contextValues, ...options }: NodeHandlerOptions): NodeHandler {
  const handlers = createScreenedHandlers(options);
  return async (request, response) => {
    if (request.method === "OPTIONS") {
      // As checks of balancers ask.
      response.writeHead(204, { Allow: "POST, OPTIONS" });
      response.end();
      return;
    }
    const handle = handlers.get(request.url?.split("?", 1)[0] ?? "");
    if (handle === undefined) {
      response.writeHead(404);
      response.end();
      return;
    }
    hideAuthority(request);
    const universal = universalRequestFromNodeRequest(request, response, undefined, contextValues(request));
    await universalResponseToNodeResponse(await handle(universal), response);
  };
}

/** Nothing is derived from the authority: a balancer, an alias or a proxy makes it whatever it likes. */
function hideAuthority(request: NodeRequest): void {
  if ("authority" in request) Object.defineProperty(request, "authority", { value: AUTHORITY });
  else request.headers.host = AUTHORITY;
}
