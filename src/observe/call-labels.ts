import { createId } from "../lib/ids.js";

/** What the log lines of one call have in common, so that they are found together. */
export interface CallLabels {
  /** Made here; the answer has it as `X-Request-Id`. */
  requestId: string;
  /** Of the trace that the caller says it belongs to (W3C Trace Context). */
  traceId?: string;
}

/** The header that an answer has the request id in. */
export const REQUEST_ID_HEADER = "X-Request-Id";

/** Version, trace, span of the caller, flags; a later version may say more after another hyphen. */
const TRACE_PARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;

/** Labels a call that begins. @param traceparent as its caller sent it: of a malformed one nothing is kept */
export function labelCall(traceparent: string | string[] | undefined): CallLabels {
  const traceId = typeof traceparent === "string" ? readTraceId(traceparent) : undefined;
  return { requestId: createId(), ...(traceId !== undefined && { traceId }) };
}

function readTraceId(traceparent: string): string | undefined {
  const [, version, traceId, more] = TRACE_PARENT.exec(traceparent) ?? [];
  return version === "00" && more !== undefined ? undefined : traceId;
}
