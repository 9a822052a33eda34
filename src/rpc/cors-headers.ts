import { cors } from "@connectrpc/connect";
import { REQUEST_ID_HEADER } from "../observe/call-labels.js";

/** What clients in browsers send over Connect and gRPC-Web, and read of an answer. */
export const CORS_HEADERS = {
  requestHeaders: [...cors.allowedHeaders, "Traceparent"],
  responseHeaders: [...cors.exposedHeaders, REQUEST_ID_HEADER],
} as const;
