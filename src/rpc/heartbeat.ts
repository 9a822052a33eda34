import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type HeartbeatRequest, type HeartbeatResponse, HeartbeatResponseSchema } from "#gen/agent/v1/heartbeat_pb.js";
import type { IngestService } from "#gen/agent/v1/ingest_pb.js";
import { IngestError } from "../errors.js";
import type { RawHeartbeatReport } from "../heartbeat/heartbeat-report.js";
import type { Sessions } from "../heartbeat/sessions.js";
import { type Caller, requireAccessToken } from "../identity/caller.js";
import type { SigningKeyRing } from "../identity/signing-keys/signing-key-ring.js";
import { Handover } from "../lib/handover.js";
import { peerKey, requireCaller } from "./context.js";
import { toRawHeartbeatReport } from "./messages.js";

/** What the `Heartbeat` handler needs. */
export interface HeartbeatHandlerOptions {
  sessions: Sessions;
  signingKeys: SigningKeyRing;
}

/**
 * `Heartbeat`: hands the stream over to a session. The next message is read when the one before it is stored and
 * acknowledged, so that a writer that is behind slows the stream down through HTTP/2 flow control.
 */
export function createHeartbeatHandler(
  options: HeartbeatHandlerOptions,
): ServiceImpl<typeof IngestService>["heartbeat"] {
  return async function* heartbeat(
    requests: AsyncIterable<HeartbeatRequest>,
    { values, signal }: HandlerContext,
  ): AsyncGenerator<HeartbeatResponse> {
    const caller = requireCaller(values);
    const { address, reset } = values.get(peerKey);
    const read = createReader(requests, caller, options.signingKeys);
    const responses = new Handover<HeartbeatResponse>();
    const acknowledge = () => responses.put(create(HeartbeatResponseSchema, { ok: true }));
    options.sessions.hold(caller, address, { read, acknowledge, over: signal, reset }).then(
      () => responses.end(),
      (error: unknown) => responses.fail(error),
    );
    yield* responses;
  };
}

/** Reads the reports of a stream. The first message carries the JWT, every other one the id of the same agent. */
function createReader(
  requests: AsyncIterable<HeartbeatRequest>,
  caller: Caller,
  signingKeys: SigningKeyRing,
): () => Promise<RawHeartbeatReport | undefined> {
  const iterator = requests[Symbol.asyncIterator]();
  let isFirst = true;
  return async () => {
    const { done, value } = await iterator.next();
    if (done) return undefined;
    if (isFirst) {
      await requireAccessToken(signingKeys, value.agentId, caller);
    } else if (value.agentId !== caller.agentId) {
      throw new IngestError("identity_mismatch", "agent_id names another agent than the one that opened this stream");
    }
    isFirst = false;
    return toRawHeartbeatReport(value);
  };
}
