import { cors } from "@connectrpc/connect";

/** What clients in browsers send over Connect and gRPC-Web, and read of an answer. */
export const CORS_HEADERS = { requestHeaders: cors.allowedHeaders, responseHeaders: cors.exposedHeaders } as const;
