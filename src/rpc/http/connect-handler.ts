import type { DescService } from "@bufbuild/protobuf";
import { type ContextValues, createContextValues } from "@connectrpc/connect";
import type { UniversalHandlerFn, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { CallLabels } from "../../observe/call-labels.js";
import type { NodeHandler, NodeRequest, NodeResponse } from "../node-request.js";
import { createScreenedHandlers, type ScreenedHandlersOptions } from "../screening/screened-handlers.js";
import { answerUnknownPath, CALL_METHODS, explain } from "./unserved.js";

/** What is served, and how. */
export interface ConnectHandlerOptions<S extends DescService> extends ScreenedHandlersOptions<S> {
  /** What a call starts with; nothing unless given. */
  contextValues?: (request: NodeRequest, call: CallLabels) => ContextValues;
  /** Handlers of methods of other services, by their path. */
  others?: ReadonlyMap<string, UniversalHandlerFn>;
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
  const handlers = new Map([...createScreenedHandlers(options), ...(options.others ?? [])]);
  return async (request, response, call) => {
    if (request.method === "OPTIONS") {
      // As checks of balancers ask.
      response.writeHead(204, { Allow: CALL_METHODS });
      response.end();
      return;
    }
    const { method = "" } = request;
    const path = request.url?.split("?", 1)[0] ?? "";
    const handle = handlers.get(path);
    if (handle === undefined) {
      const contentType = request.headers["content-type"] ?? null;
      await send(answerUnknownPath({ method, path }, contentType), method, response);
      return;
    }
    hideAuthority(request);
    const universal = universalRequestFromNodeRequest(request, response, undefined, contextValues(request, call));
    await send(explain(await handle(universal)), method, response);
  };
}

async function send({ body, ...head }: UniversalServerResponse, method: string, response: NodeResponse): Promise<void> {
  const hasBody = body !== undefined && method !== "HEAD";
  await universalResponseToNodeResponse(hasBody ? { ...head, body } : head, response);
}

/** Nothing is derived from the authority: a balancer, an alias or a proxy makes it whatever it likes. */
function hideAuthority(request: NodeRequest): void {
  if ("authority" in request) Object.defineProperty(request, "authority", { value: AUTHORITY });
  else request.headers.host = AUTHORITY;
}
