import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type HeartbeatRequest, type HeartbeatResponse, HeartbeatResponseSchema } from "#gen/agent/v1/heartbeat_pb.js";
import type { IngestService } from "#gen/agent/v1/ingest_pb.js";
import { IngestError } from "../errors.js";
import type { Sessions } from "../heartbeat/sessions.js";
import { requireAccessToken } from "../identity/caller.js";
import type { SigningKeyRing } from "../identity/signing-keys/signing-key-ring.js";
import { Interruptible } from "../lib/interruptible.js";
import { peerKey, requireCaller } from "./context.js";
import { toRawHeartbeatReport } from "./messages.js";

/**
 * `Heartbeat`: the next message is read when the one before it is stored and acknowledged, so that a writer that is
 * behind slows the stream down through HTTP/2 flow control.
 */
export function createHeartbeatHandler({
  sessions,
  signingKeys,
}: {
  sessions: Sessions;
  signingKeys: SigningKeyRing;
}): ServiceImpl<typeof IngestService>["heartbeat"] {
  return async function* heartbeat(
    requests: AsyncIterable<HeartbeatRequest>,
    context: HandlerContext,
  ): AsyncGenerator<HeartbeatResponse> {
    const caller = requireCaller(context.values);
    const incoming = new Interruptible(requests);
    const first = await incoming.next();
    if (first.done) return;
    await requireAccessToken(signingKeys, first.value.agentId, caller);
    const session = await sessions.start(caller, context.values.get(peerKey).address, (error) =>
      incoming.interrupt(error),
    );
    // A stream whose client went away while nothing was read from it.
    const onAbort = () => incoming.interrupt(context.signal.reason);
    context.signal.addEventListener("abort", onAbort, { once: true });
    try {
      await session.requireStanding();
      for (let next: IteratorResult<HeartbeatRequest> = first; !next.done; next = await incoming.next()) {
        if (next !== first && next.value.agentId !== caller.agentId) {
          throw new IngestError(
            "identity_mismatch",
            "agent_id names another agent than the one that opened this stream",
          );
        }
        await session.record(toRawHeartbeatReport(next.value));
        yield create(HeartbeatResponseSchema, { ok: true });
      }
    } finally {
      context.signal.removeEventListener("abort", onAbort);
      await session.close();
    }
  };
}
