import type { IngestService } from "#gen/agent/v1/ingest_pb.js";
import type { MessageLimits } from "./screening/message-screen.js";

/** What anybody can make the service decode: unary requests are read before their sender is identified. */
const SMALL: MessageLimits = { maxBytes: 64 * 1024, maxElements: 4_096, acceptsGzip: false };
const LARGE: MessageLimits = { maxBytes: 4 * 1024 * 1024, maxElements: 24_576, acceptsGzip: true };

/**
 * How large the messages of each method may be. A registration is two kilobytes, or fifty with all the addresses and
 * tags that are accepted, a heartbeat is two to fifty; decoding the largest ones takes some ten milliseconds.
 */
export const MESSAGE_LIMITS: Record<keyof typeof IngestService.method, MessageLimits> = {
  register: SMALL,
  renewCertificate: SMALL,
  heartbeat: LARGE,
  terminal: LARGE,
  submitSoftwareInventory: LARGE,
};
