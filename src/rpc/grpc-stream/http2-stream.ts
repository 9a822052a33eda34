import type { NodeRequest, NodeResponse } from "../node-request.js";

/** A request of HTTP/2. */
export type Http2Request = Extract<NodeRequest, { stream: unknown }>;

/** What answers it. */
export type Http2Response = Extract<NodeResponse, { stream: unknown }>;

/** The stream of HTTP/2 that both are about. */
export type Http2Stream = Http2Request["stream"];
