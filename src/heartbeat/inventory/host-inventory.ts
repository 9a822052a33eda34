import { createHash } from "node:crypto";
import { boundText } from "../../lib/formats/bounded-text.js";
import { canonicalAddress } from "../../lib/formats/cidr.js";
import type { HostInventory } from "../../store/hosts/host-inventories.js";
import { clampInteger, clampPercent } from "../clamp-number.js";

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

/** What a heartbeat reports of what changes seldom, as it came over the wire. */
export interface RawInventory {
  disks: readonly (Omit<Disk, "total_bytes" | "used_bytes" | "free_bytes"> & {
    total_bytes: bigint;
    used_bytes: bigint;
    free_bytes: bigint;
  })[];
  networkInterfaces: readonly NetworkInterface[];
}

/** How much of an inventory was left out. */
export interface InventoryCut {
  disks: number;
  interfaces: number;
  addresses: number;
}

const MAX_TEXT = 256;
const MAX_PATH = 1_024;
const MAX_ADDRESS = 64;
const MAX_DISKS = 64;
const MAX_INTERFACES = 128;
const MAX_ADDRESSES = 256;
const MAX_BYTES = 256 * 1024;

/** An inventory within bounds. */
export interface ClampedInventory {
  inventory: HostInventory;
  /** Undefined when nothing was left out. */
  cut: InventoryCut | undefined;
}

/**
 * Brings an inventory within bounds that no honest machine meets: the first disks, interfaces and addresses, as many as
 * there is room for. What is left out is counted.
 */
export function clampInventory(raw: RawInventory): ClampedInventory {
  const room = { bytes: MAX_BYTES };
  let addressesLeft = MAX_ADDRESSES;
  const interfaces = raw.networkInterfaces.slice(0, MAX_INTERFACES).map((nic) => {
    const addresses = nic.ip_addresses.slice(0, addressesLeft);
    addressesLeft -= addresses.length;
    return clampInterface(nic, addresses);
  });
  const interfacesJson = encodeWithin(room, interfaces);
  const disksJson = encodeWithin(room, raw.disks.slice(0, MAX_DISKS).map(clampDisk));
  const kept = interfaces.slice(0, interfacesJson.length);
  const addresses = kept.flatMap(({ ip_addresses }) => ip_addresses);
  const cut = {
    disks: raw.disks.length - disksJson.length,
    interfaces: raw.networkInterfaces.length - kept.length,
    addresses: countAddresses(raw.networkInterfaces) - addresses.length,
  };
  const ipAddresses = [...new Set(addresses.map(canonicalAddress))];
  const metadata = `{"disks":[${disksJson}],"network_interfaces":[${interfacesJson}]}`;
  const addressesDigest = digestOf(JSON.stringify(ipAddresses));
  return {
    inventory: { metadata, ipAddresses, digest: digestOf(metadata), addressesDigest },
    cut: cut.disks + cut.interfaces + cut.addresses > 0 ? cut : undefined,
  };
}

/** Whether two are the same in all that a database gets of them. Costs less than bringing one of them within bounds. */
export function isSameInventory(one: RawInventory, other: RawInventory): boolean {
  if (one === other) return true;
  return (
    haveSame(one.disks, other.disks, isSameDisk) &&
    haveSame(one.networkInterfaces, other.networkInterfaces, isSameInterface)
  );
}

function haveSame<T>(some: readonly T[], others: readonly T[], isSame: (one: T, other: T) => boolean): boolean {
  return some.length === others.length && some.every((one, index) => isSame(one, others[index] as T));
}

function isSameDisk(one: RawInventory["disks"][number], other: RawInventory["disks"][number]): boolean {
  return (
    one.used_bytes === other.used_bytes &&
    one.free_bytes === other.free_bytes &&
    one.total_bytes === other.total_bytes &&
    Object.is(one.percent_used, other.percent_used) &&
    one.mount_point === other.mount_point &&
    one.device === other.device &&
    one.fs_type === other.fs_type
  );
}

function isSameInterface(one: NetworkInterface, other: NetworkInterface): boolean {
  return (
    one.name === other.name &&
    one.mac_address === other.mac_address &&
    one.is_up === other.is_up &&
    haveSame(one.ip_addresses, other.ip_addresses, Object.is)
  );
}

/** Those that fit, each as JSON. */
function encodeWithin(room: { bytes: number }, items: readonly object[]): string[] {
  const encoded: string[] = [];
  for (const item of items) {
    const json = JSON.stringify(item);
    room.bytes -= Buffer.byteLength(json) + 1;
    if (room.bytes < 0) break;
    encoded.push(json);
  }
  return encoded;
}

function countAddresses(interfaces: readonly NetworkInterface[]): number {
  return interfaces.reduce((sum, { ip_addresses }) => sum + ip_addresses.length, 0);
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}

function clampInterface(nic: NetworkInterface, addresses: readonly string[]): NetworkInterface {
  return {
    name: boundText(nic.name, MAX_TEXT),
    ip_addresses: addresses.map((address) => boundText(address, MAX_ADDRESS)),
    mac_address: boundText(nic.mac_address, MAX_ADDRESS),
    is_up: nic.is_up,
  };
}

function clampDisk(disk: RawInventory["disks"][number]): Disk {
  return {
    mount_point: boundText(disk.mount_point, MAX_PATH),
    device: boundText(disk.device, MAX_PATH),
    fs_type: boundText(disk.fs_type, MAX_TEXT),
    total_bytes: clampInteger(disk.total_bytes, Number.MAX_SAFE_INTEGER),
    used_bytes: clampInteger(disk.used_bytes, Number.MAX_SAFE_INTEGER),
    free_bytes: clampInteger(disk.free_bytes, Number.MAX_SAFE_INTEGER),
    percent_used: clampPercent(disk.percent_used) ?? 0,
  };
}
