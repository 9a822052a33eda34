import type { MetricsMessage } from "../broker/messages/metrics-message.js";
import type { HeartbeatRow } from "../store/sessions/heartbeats.js";

/** What is published of a heartbeat that was stored. */
export function toMetricsMessage(row: HeartbeatRow): MetricsMessage {
  return {
    message_id: row.metricId,
    agent_id: row.agentId,
    org_id: row.organisationId,
    host_id: row.hostId,
    timestamp: row.takenAtUnix || Math.floor(row.receivedAt.getTime() / 1000),
    recorded_at: row.receivedAt.toISOString(),
    cpu: row.cpuPercent,
    memory: row.memoryPercent,
    disk: row.diskPercent,
    uptime: row.uptimeSeconds,
    agent_version: row.agentVersion ?? "",
    os_version: row.osVersion ?? "",
  };
}
