import type { Interceptor } from "@connectrpc/connect";
import type { IngestService } from "#gen/agent/v1/ingest_pb.js";
import type { Callers } from "../../identity/caller.js";
import { callEndOf } from "../call-end.js";
import { callerKey, labelsKey, peerKey } from "../context.js";
import type { AgentCalls } from "./agent-calls.js";

type MethodName = keyof typeof IngestService.method;

/** What a caller must present. An RPC that nobody decided about does not compile. */
const ACCESS: Record<MethodName, "anyone" | "client certificate"> = {
  register: "anyone",
  heartbeat: "client certificate",
  terminal: "client certificate",
  submitSoftwareInventory: "client certificate",
  renewCertificate: "client certificate",
};

/**
 * Identifies the caller of every method that needs a client certificate, and keeps it to its pace, before the handler
 * runs.
 */
export function createAccessInterceptor(callers: Callers, calls: AgentCalls): Interceptor {
  return (next) => async (request) => {
    const { method, contextValues } = request;
    const name = method.localName as MethodName;
    if (ACCESS[name] === "anyone") return next(request);
    const peer = contextValues.get(peerKey);
    const { certificateDer } = peer;
    calls.requireTurn(method.name, certificateDer);
    const caller = await callers.identify(certificateDer, contextValues.get(labelsKey));
    contextValues.set(callerKey, caller);
    // A stream would keep it for as long as it lasts.
    peer.certificateDer = undefined;
    const leave = calls.enter(caller.agentId, { isSession: name === "heartbeat", peer });
    callEndOf(contextValues, request).whenOver(leave);
    if (request.stream) return next(request);
    try {
      return await next(request);
    } finally {
      leave();
    }
  };
}
