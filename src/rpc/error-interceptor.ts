import {
  Code,
  ConnectError,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
} from "@connectrpc/connect";
import { IngestError, type IngestErrorCode } from "../errors.js";
import type { Logger } from "../observe/logger.js";
import { toDatabaseError } from "../store/database.js";
import { callerKey, claimKey, peerKey } from "./context.js";
import { isRefusal, toConnectError } from "./error-status.js";
import type { RefusalRecorder } from "./refusal-recorder.js";

const EXPECTED: readonly IngestErrorCode[] = ["session_displaced", "certificate_outdated", "draining"];

/** Tells callers what {@link toConnectError} says, and the log and the record of refusals the rest. */
export function createErrorInterceptor(logger: Logger, refusals: Pick<RefusalRecorder, "record">): Interceptor {
  return (next) => async (request) => {
    const translate = (thrown: unknown): ConnectError => {
      const error = thrown instanceof ConnectError ? thrown : toDatabaseError(thrown);
      const { address } = request.contextValues.get(peerKey);
      const agentId = agentOf(request, error);
      const fields = { method: request.method.name, agentId, remoteAddress: address };
      const told = toConnectError(error);
      if (told === undefined && request.signal.aborted) {
        logger.debug({ ...fields, err: error }, "the caller went away");
        return new ConnectError("the caller went away", Code.Canceled);
      }
      if (told === undefined) {
        logger.error({ ...fields, err: error }, "call failed");
        return new ConnectError("internal error; the service's log has the cause", Code.Internal);
      }
      // Agents that go away, or are told to come back, are not news.
      const isExpected = error instanceof IngestError && EXPECTED.includes(error.code);
      const level = error instanceof IngestError && !isExpected ? "warn" : "debug";
      const cause = error instanceof Error ? error.cause : undefined;
      logger[level]({ ...fields, code: Code[told.code], reason: told.rawMessage, err: cause }, "call refused");
      if (isRefusal(told) && !isExpected) {
        const reason = error instanceof IngestError ? (error.reason ?? error.code) : snakeCase(Code[told.code]);
        refusals.record({ ...fields, reason, message: told.rawMessage, claim: request.contextValues.get(claimKey) });
      }
      return told;
    };
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: translateStream(response, translate) } : response;
    } catch (error) {
      throw translate(error);
    }
  };
}

function agentOf({ contextValues }: UnaryRequest | StreamRequest, error: unknown): string | undefined {
  return contextValues.get(callerKey)?.agentId ?? (error instanceof IngestError ? error.agentId : undefined);
}

function snakeCase(name: string): string {
  return name.replace(/(?<!^)[A-Z]/g, "_$&").toLowerCase();
}

async function* translateStream(response: StreamResponse, translate: (error: unknown) => ConnectError) {
  try {
    yield* response.message;
  } catch (error) {
    throw translate(error);
  }
}
