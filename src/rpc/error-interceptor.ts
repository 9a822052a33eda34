import { Code, ConnectError, type Interceptor, type StreamResponse } from "@connectrpc/connect";
import { IngestError, type IngestErrorCode } from "../errors.js";
import type { Logger } from "../observe/logger.js";
import { toDatabaseError } from "../store/database.js";
import { callerKey, peerKey } from "./context.js";
import { toConnectError } from "./error-status.js";

const EXPECTED: readonly IngestErrorCode[] = ["session_displaced", "draining"];

/** Tells callers what {@link toConnectError} says, and the log the rest. */
export function createErrorInterceptor(logger: Logger): Interceptor {
  return (next) => async (request) => {
    const translate = (thrown: unknown): ConnectError => {
      const error = thrown instanceof ConnectError ? thrown : toDatabaseError(thrown);
      const { address } = request.contextValues.get(peerKey);
      const agentId = request.contextValues.get(callerKey)?.agentId;
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
      // Agents that go away, or are told to go to another instance, are not news.
      const level = error instanceof IngestError && !EXPECTED.includes(error.code) ? "warn" : "debug";
      const cause = error instanceof Error ? error.cause : undefined;
      logger[level]({ ...fields, code: Code[told.code], reason: told.rawMessage, err: cause }, "call refused");
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

async function* translateStream(response: StreamResponse, translate: (error: unknown) => ConnectError) {
  try {
    yield* response.message;
  } catch (error) {
    throw translate(error);
  }
}
