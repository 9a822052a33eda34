import { addressSource } from "../../lib/formats/address-source.js";
import type { Logger } from "../../observe/logger.js";
import type { Metrics } from "../../observe/metrics.js";
import type { RefusalMeter } from "./refusal-meter.js";
import type { RefusalRecorder } from "./refusal-recorder.js";

const REASON = "tls_handshake_failed";

/** What {@link createHandshakeReporter} needs. */
export interface HandshakeReporterOptions {
  logger: Logger;
  meter: Pick<RefusalMeter, "admit">;
  refusals: Pick<RefusalRecorder, "record">;
  metrics: Pick<Metrics, "handshakes">;
}

/** Tells the log and the record of refusals of TLS handshakes that failed, as far as the meter lets it. */
export function createHandshakeReporter({ logger, meter, refusals, metrics }: HandshakeReporterOptions) {
  return ({ remoteAddress, reason }: { remoteAddress: string; reason: string }): void => {
    metrics.handshakes.inc({ result: "failed" });
    const caller = { agentId: undefined, publicKey: undefined, source: addressSource(remoteAddress).source };
    if (!meter.admit(caller, REASON)) return;
    logger.warn({ remoteAddress, reason }, "a TLS handshake failed");
    refusals.record({
      method: "TLS",
      reason: REASON,
      message: reason,
      caller,
      certificateSerial: undefined,
      hostname: undefined,
      remoteAddress,
    });
  };
}
