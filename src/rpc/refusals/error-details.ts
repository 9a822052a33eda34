import type { ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "#gen/google/rpc/error_details_pb.js";

type Details = ConnectError["details"];

/** Gives the reasons their meaning: docs/errors.md. */
const DOMAIN = "ct-ops-ingest";
const FIELD_PROBLEM = /^(\w[\w.[\]]*): (.*)$/s;
/** Most of a message once more: all details together have to fit into a header. */
const MAX_DESCRIPTION_LENGTH = 500;

/**
 * What a program is told beside status and message, as google.rpc has it: the code as a constant reason, which field it is,
 * and how long to wait where waiting helps.
 */
export function detailsOf({
  code,
  message,
  retryAfterMs,
}: {
  code: string;
  message: string;
  retryAfterMs: number | undefined;
}): Details {
  const details: Details = [{ desc: ErrorInfoSchema, value: { reason: code.toUpperCase(), domain: DOMAIN } }];
  const [, field, description] = (code === "invalid_field" && FIELD_PROBLEM.exec(message)) || [];
  if (field !== undefined && description !== undefined) {
    const violation = { field, description: description.slice(0, MAX_DESCRIPTION_LENGTH).toWellFormed() };
    details.push({ desc: BadRequestSchema, value: { fieldViolations: [violation] } });
  }
  if (retryAfterMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: toDuration(retryAfterMs) } });
  }
  return details;
}

function toDuration(ms: number): { seconds: bigint; nanos: number } {
  const whole = Math.max(1, Math.ceil(ms));
  return { seconds: BigInt(Math.floor(whole / 1_000)), nanos: (whole % 1_000) * 1_000_000 };
}
