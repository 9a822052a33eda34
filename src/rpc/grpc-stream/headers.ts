import type { Http2Headers } from "./http2-stream.js";

/** Headers as Connect has them; those of HTTP/2 itself (`:path`) are left out. */
export function toHeaders(from: Http2Headers): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(from)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of [value].flat()) headers.append(name, one);
  }
  return headers;
}

/** The value of a header; null when there is none. */
export function headerOf(headers: Http2Headers, name: string): string | null {
  return headers[name]?.toString() ?? null;
}
