import type { RequestHandler, Response } from "./request-guard.js";

/** Which pages of other origins may read what is answered (CORS). */
export interface CorsPolicy {
  /** Whether scripts of this origin may. */
  isAllowed: (origin: string) => boolean;
  /** What scripts may call with, send, and read of an answer besides its body. */
  methods: readonly string[];
  requestHeaders: readonly string[];
  responseHeaders: readonly string[];
}

/** Browsers keep what they were allowed for that long, or less. */
const MAX_AGE_SECONDS = 7_200;

/** Lets browsers hand answers to the pages that may have them, and answers what they ask beforehand. */
export function allowOrigins<R extends Response>(
  policy: CorsPolicy | undefined,
  handler: RequestHandler<R>,
): RequestHandler<R> {
  if (policy === undefined) return handler;
  return (request, response, call) => {
    const { origin } = request.headers;
    // Also without one: what a cache keeps is not for everybody.
    response.setHeader("Vary", "Origin");
    if (origin === undefined || !policy.isAllowed(origin)) return handler(request, response, call);
    response.setHeader("Access-Control-Allow-Origin", origin);
    if (request.method === "OPTIONS" && "access-control-request-method" in request.headers) {
      response.setHeader("Access-Control-Allow-Methods", policy.methods.join(", "));
      response.setHeader("Access-Control-Allow-Headers", policy.requestHeaders.join(", "));
      response.setHeader("Access-Control-Max-Age", String(MAX_AGE_SECONDS));
    } else {
      response.setHeader("Access-Control-Expose-Headers", policy.responseHeaders.join(", "));
    }
    return handler(request, response, call);
  };
}
