import type { Http2Request } from "./http2-stream.js";

type NodeHeaders = Http2Request["headers"];

/** Headers as Connect has them; those of HTTP/2 itself (`:path`) are left out. */
export function toHeaders(from: NodeHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(from)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of [value].flat()) headers.append(name, one);
  }
  return headers;
}

/** The value of a header; null when there is none. */
export function headerOf(headers: NodeHeaders, name: string): string | null {
  return headers[name]?.toString() ?? null;
}
