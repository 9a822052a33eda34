import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { HeartbeatRequest } from "#gen/agent/v1/heartbeat_pb.js";
import type { IngestService } from "#gen/agent/v1/ingest_pb.js";
import type { Sessions } from "../../heartbeat/sessions.js";
import { peerKey, requireCaller } from "../context.js";
import { HeartbeatStream, type HeartbeatStreamOptions } from "./heartbeat-stream.js";

/** What the `Heartbeat` handler needs. */
export interface HeartbeatHandlerOptions extends HeartbeatStreamOptions {
  sessions: Sessions;
}

/** `Heartbeat`: hands the stream over to a session, and its agent to the work that waits for it. */
export function createHeartbeatHandler(
  options: HeartbeatHandlerOptions,
): ServiceImpl<typeof IngestService>["heartbeat"] {
  return (requests: AsyncIterable<HeartbeatRequest>, context: HandlerContext) => {
    const caller = requireCaller(context.values);
    const stream = new HeartbeatStream(requests, caller, context, options);
    options.sessions.hold(caller, context.values.get(peerKey).address, stream);
    return stream.responses;
  };
}
