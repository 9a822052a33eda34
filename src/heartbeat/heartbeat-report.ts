import { boundText } from "../lib/formats/bounded-text.js";
import type { Vitals } from "../store/sessions/heartbeats.js";
import { clampInteger, clampPercent } from "./clamp-number.js";
import type { RawInventory } from "./inventory/host-inventory.js";

/**
 * Which results a message carries beside its sample. For those of queries and tasks (`work`) an agent sends an extra
 * message; those of checks wait for its next regular one.
 */
export type CarriedResults = "none" | "checks" | "work";

/** What one heartbeat reports, as it came over the wire. */
export interface RawHeartbeatReport extends RawInventory {
  results: CarriedResults;
  cpuPercent: number;
  memoryPercent: number;
  diskPercent: number;
  uptimeSeconds: bigint;
  timestampUnix: bigint;
  agentVersion: string;
  os: string;
  osVersion: string;
  arch: string;
}

const MAX_TEXT = 256;
const MAX_UPTIME_S = 2_147_483_647;

/**
 * Brings the vitals of a report within what their columns hold and mean. It never refuses one: an agent whose heartbeat is refused comes back with the same
 * one for ever. README.md documents the bounds.
 */
export function clampVitals(raw: RawHeartbeatReport): Vitals {
  return {
    cpuPercent: clampPercent(raw.cpuPercent),
    memoryPercent: clampPercent(raw.memoryPercent),
    diskPercent: clampPercent(raw.diskPercent),
    uptimeSeconds: clampInteger(raw.uptimeSeconds, MAX_UPTIME_S),
    takenAtUnix: clampInteger(raw.timestampUnix, Number.MAX_SAFE_INTEGER),
    agentVersion: boundText(raw.agentVersion, MAX_TEXT) || null,
    os: boundText(raw.os, MAX_TEXT) || null,
    osVersion: boundText(raw.osVersion, MAX_TEXT) || null,
    arch: boundText(raw.arch, MAX_TEXT) || null,
  };
}
