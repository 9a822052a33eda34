import { Code, ConnectError, type StreamRequest, type UnaryRequest } from "@connectrpc/connect";
import { IngestError, type IngestErrorCode } from "../../errors.js";
import { parseAgentPublicKey } from "../../identity/agent-key.js";
import { readPresentedCertificate } from "../../identity/client-certificates/presented-certificate.js";
import { addressSource } from "../../lib/formats/address-source.js";
import { boundText } from "../../lib/formats/bounded-text.js";
import type { Logger } from "../../observe/logger.js";
import type { Metrics } from "../../observe/metrics.js";
import { toDatabaseError } from "../../store/database.js";
import { callerKey, labelsKey, peerKey, registrantKey } from "../context.js";
import { isRefusal, reasonOf, toConnectError, withDetails } from "./error-status.js";
import type { RefusalMeter } from "./refusal-meter.js";
import type { RefusalRecorder } from "./refusal-recorder.js";

const EXPECTED: readonly IngestErrorCode[] = ["session_displaced", "certificate_outdated", "draining"];
/** What is too large, too slow, or too much at once. */
const PAST_LIMIT: readonly Code[] = [Code.ResourceExhausted, Code.DeadlineExceeded, Code.Unavailable];
/** A message may name what the caller sent. */
const MAX_LOGGED_LENGTH = 512;

/** What {@link createErrorTranslator} needs. */
export interface ErrorTranslatorOptions {
  logger: Logger;
  meter: Pick<RefusalMeter, "admit">;
  refusals: Pick<RefusalRecorder, "record">;
  metrics: Pick<Metrics, "refusals" | "callsFailed">;
}

/** The call that failed. */
export type FailedCall = Pick<UnaryRequest | StreamRequest, "contextValues" | "signal"> & { method: { name: string } };

/** Turns what a call failed with into what its caller is told. */
export type TranslateError = (request: FailedCall, thrown: unknown) => ConnectError;

/**
 * Tells callers what {@link toConnectError} says, and the log and the record of refusals the rest, as far as the meter
 * lets it.
 */
export function createErrorTranslator({ logger, meter, refusals, metrics }: ErrorTranslatorOptions): TranslateError {
  return (request, thrown) => {
    const error = thrown instanceof ConnectError ? thrown : toDatabaseError(thrown);
    const { address: remoteAddress } = request.contextValues.get(peerKey);
    const agentId = agentOf(request, error);
    const fields = { method: request.method.name, agentId, remoteAddress };
    const call = request.contextValues.get(labelsKey);
    const told = toConnectError(error);
    if (told === undefined && request.signal.aborted) {
      logger.debug({ ...fields, ...call, err: error }, "the caller went away");
      return new ConnectError("the caller went away", Code.Canceled);
    }
    if (told === undefined) {
      metrics.callsFailed.inc({ reason: "internal" });
      logger.error({ ...fields, ...call, err: error }, "call failed");
      const message = `internal error; the service's log has the cause (request ${call.requestId})`;
      return withDetails(new ConnectError(message, Code.Internal));
    }
    const reason = error instanceof IngestError ? (error.reason ?? error.code) : reasonOf(told.code);
    const line = {
      ...fields,
      ...call,
      code: Code[told.code],
      reason,
      told: boundText(told.rawMessage, MAX_LOGGED_LENGTH),
    };
    // Agents that go away, or are told to come back, are not news.
    if (error instanceof IngestError && EXPECTED.includes(error.code)) {
      logger.debug(line, "call refused");
      return told;
    }
    const presented = presentedBy(request);
    const registrant = request.contextValues.get(registrantKey);
    const caller = {
      agentId,
      publicKey: registrant?.publicKey ?? presented?.publicKey,
      source: addressSource(remoteAddress).source,
    };
    metrics[isRefusal(told) ? "refusals" : "callsFailed"].inc({ reason });
    if (!meter.admit(caller, reason)) return told;
    const details = error instanceof IngestError ? { ...error.logged, ...causeOf(error, told) } : {};
    const isNews = error instanceof IngestError || PAST_LIMIT.includes(told.code);
    logger[isNews ? "warn" : "debug"]({ ...line, ...details }, "call refused");
    if (isRefusal(told)) {
      refusals.record({
        ...fields,
        reason,
        message: told.rawMessage,
        caller,
        certificateSerial: presented?.serial,
        hostname: registrant?.hostname,
      });
    }
    return told;
  };
}

function agentOf({ contextValues }: FailedCall, error: unknown): string | undefined {
  return contextValues.get(callerKey)?.agentId ?? (error instanceof IngestError ? error.agentId : undefined);
}

/** Key and serial number of the caller's certificate, whoever issued it. */
function presentedBy({ contextValues }: FailedCall): { publicKey: string; serial: string } | undefined {
  const caller = contextValues.get(callerKey);
  if (caller !== undefined) {
    return { publicKey: parseAgentPublicKey(caller.publicKey).pem, serial: caller.certificate.serial };
  }
  const presented = readPresentedCertificate(contextValues.get(peerKey).certificateDer);
  return presented && { publicKey: presented.publicKey.pem, serial: presented.serial };
}

/** A refusal is expected: what it comes from is told, and not where in the code. */
function causeOf({ cause }: IngestError, told: ConnectError): object {
  if (cause === undefined || !isRefusal(told)) return { err: cause };
  return { cause: boundText(cause instanceof Error ? cause.message : String(cause), MAX_LOGGED_LENGTH) };
}
