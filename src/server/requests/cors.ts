import type { Request, RequestHandler, Response } from "./request-guard.js";

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
    for (const [name, value] of Object.entries(corsHeaders(policy, request.method, request.headers))) {
      response.setHeader(name, value);
    }
    return handler(request, response, call);
  };
}

/** What an answer has among its headers for the page that calls. */
export function corsHeaders(
  policy: CorsPolicy,
  method: string | undefined,
  headers: Request["headers"],
): Record<string, string> {
  const { origin } = headers;
  // Also without one: what a cache keeps is not for everybody.
  const forCaches = { vary: "Origin" };
  if (origin === undefined || !policy.isAllowed(origin)) return forCaches;
  const allowed = { ...forCaches, "access-control-allow-origin": origin };
  if (method !== "OPTIONS" || headers["access-control-request-method"] === undefined) {
    return { ...allowed, "access-control-expose-headers": policy.responseHeaders.join(", ") };
  }
  return {
    ...allowed,
    "access-control-allow-methods": policy.methods.join(", "),
    "access-control-allow-headers": policy.requestHeaders.join(", "),
    "access-control-max-age": String(MAX_AGE_SECONDS),
  };
}
