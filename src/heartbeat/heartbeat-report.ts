import { boundText } from "../lib/formats/bounded-text.js";
import { canonicalAddress } from "../lib/formats/cidr.js";
import type { Vitals } from "../store/sessions/heartbeats.js";

/** A disk as the platform stores it in `hosts.metadata.disks`. */
export interface Disk {
  mount_point: string;
  device: string;
  fs_type: string;
  total_bytes: number;
  used_bytes: number;
  free_bytes: number;
  percent_used: number;
}

/** A network interface as the platform stores it in `hosts.metadata.network_interfaces`. */
export interface NetworkInterface {
  name: string;
  ip_addresses: string[];
  mac_address: string;
  is_up: boolean;
}

/** What one heartbeat reports, as it came over the wire. */
export interface RawHeartbeatReport {
  cpuPercent: number;
  memoryPercent: number;
  diskPercent: number;
  uptimeSeconds: bigint;
  timestampUnix: bigint;
  agentVersion: string;
  os: string;
  osVersion: string;
  arch: string;
  disks: readonly (Omit<Disk, "total_bytes" | "used_bytes" | "free_bytes"> & {
    total_bytes: bigint;
    used_bytes: bigint;
    free_bytes: bigint;
  })[];
  networkInterfaces: readonly NetworkInterface[];
}

/** What changes seldom: written when it changed. */
export interface HostInventory {
  disks: Disk[];
  networkInterfaces: NetworkInterface[];
  /** The addresses of all interfaces, each once, in the form in which they are compared. */
  ipAddresses: string[];
}

/** What one heartbeat reports, within what its columns hold and mean. */
export interface HeartbeatReport extends Vitals {
  inventory: HostInventory;
}

const MAX_TEXT = 256;
const MAX_PATH = 1_024;
const MAX_ADDRESS = 64;
const MAX_DISKS = 512;
const MAX_INTERFACES = 512;
const MAX_ADDRESSES_PER_INTERFACE = 64;
const MAX_UPTIME_S = 2_147_483_647;

/**
 * Brings a report within bounds. It never refuses one: an agent whose heartbeat is refused comes back with the same
 * one for ever. README.md documents the bounds.
 */
export function clampHeartbeatReport(raw: RawHeartbeatReport): HeartbeatReport {
  const networkInterfaces = raw.networkInterfaces.slice(0, MAX_INTERFACES).map((nic) => ({
    name: clampText(nic.name),
    ip_addresses: nic.ip_addresses
      .slice(0, MAX_ADDRESSES_PER_INTERFACE)
      .map((address) => clampText(address, MAX_ADDRESS)),
    mac_address: clampText(nic.mac_address, MAX_ADDRESS),
    is_up: nic.is_up,
  }));
  return {
    cpuPercent: clampPercent(raw.cpuPercent),
    memoryPercent: clampPercent(raw.memoryPercent),
    diskPercent: clampPercent(raw.diskPercent),
    uptimeSeconds: clampInteger(raw.uptimeSeconds, MAX_UPTIME_S),
    takenAtUnix: clampInteger(raw.timestampUnix, Number.MAX_SAFE_INTEGER),
    agentVersion: clampText(raw.agentVersion) || null,
    os: clampText(raw.os) || null,
    osVersion: clampText(raw.osVersion) || null,
    arch: clampText(raw.arch) || null,
    inventory: {
      disks: raw.disks.slice(0, MAX_DISKS).map((disk) => ({
        mount_point: clampText(disk.mount_point, MAX_PATH),
        device: clampText(disk.device, MAX_PATH),
        fs_type: clampText(disk.fs_type),
        total_bytes: clampInteger(disk.total_bytes, Number.MAX_SAFE_INTEGER),
        used_bytes: clampInteger(disk.used_bytes, Number.MAX_SAFE_INTEGER),
        free_bytes: clampInteger(disk.free_bytes, Number.MAX_SAFE_INTEGER),
        percent_used: clampPercent(disk.percent_used) ?? 0,
      })),
      networkInterfaces,
      ipAddresses: [...new Set(networkInterfaces.flatMap(({ ip_addresses }) => ip_addresses.map(canonicalAddress)))],
    },
  };
}

function clampPercent(value: number): number | null {
  return Number.isNaN(value) ? null : Math.min(100, Math.max(0, value));
}

function clampInteger(value: bigint, max: number): number {
  if (value < 0n) return 0;
  return value > BigInt(max) ? max : Number(value);
}

function clampText(value: string, maxLength = MAX_TEXT): string {
  return boundText(value, maxLength);
}
