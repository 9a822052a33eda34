import type { DescService } from "@bufbuild/protobuf";
import { type ContextValues, createContextValues } from "@connectrpc/connect";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { NodeHandler, NodeRequest } from "./node-request.js";
import { createScreenedHandlers, type ScreenedHandlersOptions } from "./screening/screened-handlers.js";

/** What is served, and how. */
export interface ConnectHandlerOptions<S extends DescService> extends ScreenedHandlersOptions<S> {
  /** What a call starts with; nothing unless given. */
  contextValues?: (request: NodeRequest) => ContextValues;
}

/** Stands in every request for the host its caller named. */
const AUTHORITY = "ct-ops-ingest";

/**
 * Serves a service with Connect's handlers on Node's HTTP servers. connect-node's own adapter throws out of the request
 * listener on an authority that is no host of a URL (`web.1:9443`, `localhost:99999`, none at all), and reports what fails
 * to the console alone.
 */
export function createConnectHandler<S extends DescService>(options: ConnectHandlerOptions<S>): NodeHandler {
  const { contextValues = createContextValues } = options;
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
