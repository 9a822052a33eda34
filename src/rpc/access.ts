import type { Interceptor } from "@connectrpc/connect";
import type { IngestService } from "#gen/agent/v1/ingest_pb.js";
import type { Callers } from "../identity/caller.js";
import { callerKey, peerKey } from "./context.js";

type MethodName = keyof typeof IngestService.method;

/** What a caller must present. An RPC that nobody decided about does not compile. */
const ACCESS: Record<MethodName, "anyone" | "client certificate"> = {
  register: "anyone",
  heartbeat: "client certificate",
  terminal: "client certificate",
  submitSoftwareInventory: "client certificate",
  renewCertificate: "client certificate",
};

/** Identifies the caller of every method that needs a client certificate, before its handler runs. */
export function createAccessInterceptor(callers: Callers): Interceptor {
  return (next) => async (request) => {
    if (ACCESS[request.method.localName as MethodName] !== "anyone") {
      const { certificateDer } = request.contextValues.get(peerKey);
      request.contextValues.set(callerKey, await callers.identify(certificateDer));
    }
    return next(request);
  };
}
