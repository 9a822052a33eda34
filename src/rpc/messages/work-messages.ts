import { create } from "@bufbuild/protobuf";
import { type HeartbeatRequest, type HeartbeatResponse, HeartbeatResponseSchema } from "#gen/agent/v1/heartbeat_pb.js";
import type { SoftwareInventoryChunk } from "#gen/agent/v1/ingest_pb.js";
import type { RawAgentMessage } from "../../work/agent-work.js";
import type { RawInventoryChunk } from "../../work/inventory/inventory-upload.js";
import type { Push } from "../../work/push.js";

/** What a heartbeat brings back beside the heartbeat. */
export function toRawAgentMessage(request: HeartbeatRequest): RawAgentMessage {
  const { agentVersion, pinnedServerCertFingerprint, checkResults, queryResults, taskProgress, taskResults } = request;
  const pinnedFingerprint = pinnedServerCertFingerprint;
  return { agentVersion, pinnedFingerprint, checkResults, queryResults, taskProgress, taskResults };
}

/** A response that only pushes something; `ok` is true in such a one as well. */
export function toPushResponse(push: Push): HeartbeatResponse {
  return create(HeartbeatResponseSchema, { ok: true, ...fieldsOf(push) });
}

function fieldsOf(push: Push): Parameters<typeof create<typeof HeartbeatResponseSchema>>[1] {
  switch (push.kind) {
    case "checks":
      return { checks: [...push.checks] };
    case "queries":
      return { pendingQueries: [...push.queries] };
    case "task":
      return { pendingTask: push.task };
    case "cancellations":
      return { cancelTaskIds: [...push.taskIds] };
    case "update":
      return { updateAvailable: true, latestVersion: push.latestVersion, downloadUrl: push.downloadUrl };
    case "web certificate":
      return { pendingServerCertPem: push.pem };
  }
}

/** The chunks of an upload. */
export async function* toRawInventoryChunks(
  chunks: AsyncIterable<SoftwareInventoryChunk>,
): AsyncGenerator<RawInventoryChunk> {
  for await (const { scanId, agentId, source, chunkIndex, isLast, packages } of chunks) {
    yield { scanId, agentId, source, chunkIndex, isLast, packages };
  }
}
