import type { IngestService } from "#gen/agent/v1/ingest_pb.js";
import type { MessageLimits } from "./screening/message-screen.js";

/** What anybody can make the service decode: unary requests are read before their sender is identified. */
const SMALL_ELEMENTS = 4_096;
/** Reading JSON takes four times as long, and no agent sends it. */
const JSON_SHARE = 1 / 4;

/** How large messages may be. */
export interface MessageSizes {
  /** Of one message of a stream. */
  maxBytes: number;
  maxElements: number;
  /** Of one message of a unary call. */
  maxRequestBytes: number;
}

/**
 * How large the messages of each method may be. A registration is two kilobytes, or fifty with all the addresses and
 * tags that are accepted, a heartbeat is two to fifty, and megabytes where results of checks and tasks have piled up;
 * decoding the largest ones takes some ten milliseconds.
 */
export function messageLimits({
  maxBytes,
  maxElements,
  maxRequestBytes,
}: MessageSizes): Record<keyof typeof IngestService.method, MessageLimits> {
  const small = { maxBytes: maxRequestBytes, maxElements: SMALL_ELEMENTS, acceptsGzip: false };
  const large = { maxBytes, maxJsonBytes: maxBytes * JSON_SHARE, maxElements, acceptsGzip: true };
  return {
    register: small,
    renewCertificate: small,
    heartbeat: large,
    terminal: large,
    submitSoftwareInventory: large,
  };
}
