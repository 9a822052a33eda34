import { parseAddress } from "../../lib/formats/cidr.js";

/** Who is at the other end of a balancer's connection; undefined where the balancer itself is (its health checks). */
export interface ProxyHeader {
  /** Bytes of the header, which come before everything else. */
  length: number;
  address: string | undefined;
}

/** What the first bytes of a connection are that has to begin with a PROXY header. */
export type ProxyHeaderResult = { header: ProxyHeader } | { incomplete: true } | { problem: string };

const V1_START = "PROXY ";
const V1_MAX_BYTES = 107;
const V1_LINE = /^PROXY (?:UNKNOWN|(TCP4|TCP6) ([0-9a-fA-F.:]{2,39}) [0-9a-fA-F.:]{2,39} \d{1,5} \d{1,5})(?: .*)?\r\n/;
const V2_SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V2_FIXED_BYTES = 16;
/** Balancers add what they know of the connection; a kilobyte holds all of it that is in use. */
const V2_MAX_BYTES = 4_096;
const TCP4 = 0x11;
const TCP6 = 0x21;

const NONE: ProxyHeaderResult = { problem: "the balancer sends no PROXY header" };

/** Reads a PROXY header, version 1 or 2 (haproxy.org, proxy-protocol.txt), from the first bytes that came. */
export function readProxyHeader(bytes: Buffer): ProxyHeaderResult {
  if (startsAlike(bytes, V2_SIGNATURE)) return readVersion2(bytes);
  if (startsAlike(bytes, Buffer.from(V1_START))) return readVersion1(bytes);
  return NONE;
}

function readVersion1(bytes: Buffer): ProxyHeaderResult {
  const end = bytes.indexOf("\r\n");
  if (end < 0) return bytes.length < V1_MAX_BYTES ? { incomplete: true } : { problem: "a PROXY header without an end" };
  const match = V1_LINE.exec(bytes.toString("latin1", 0, end + 2));
  const address = match?.[2];
  const isAddress = address === undefined || parseAddress(address) !== undefined;
  if (match === null || !isAddress || end + 2 > V1_MAX_BYTES) return { problem: "a malformed PROXY header" };
  return { header: { length: end + 2, address } };
}

function readVersion2(bytes: Buffer): ProxyHeaderResult {
  if (bytes.length < V2_FIXED_BYTES) return { incomplete: true };
  const [versionAndCommand = 0, family] = bytes.subarray(V2_SIGNATURE.length);
  const length = V2_FIXED_BYTES + bytes.readUInt16BE(V2_FIXED_BYTES - 2);
  const command = versionAndCommand & 0x0f;
  if (versionAndCommand >> 4 !== 2 || command > 1) return { problem: "a PROXY header of an unknown version" };
  if (length > V2_MAX_BYTES) return { problem: "a PROXY header that is too long" };
  if (bytes.length < length) return { incomplete: true };
  const isLocal = command === 0;
  if (!isLocal && family === TCP4 && length >= V2_FIXED_BYTES + 12) {
    return { header: { length, address: bytes.subarray(V2_FIXED_BYTES, V2_FIXED_BYTES + 4).join(".") } };
  }
  if (!isLocal && family === TCP6 && length >= V2_FIXED_BYTES + 36) {
    const groups =
      bytes
        .subarray(V2_FIXED_BYTES, V2_FIXED_BYTES + 16)
        .toString("hex")
        .match(/.{4}/g) ?? [];
    return { header: { length, address: groups.join(":") } };
  }
  return isLocal || family === 0 ? { header: { length, address: undefined } } : { problem: "a malformed PROXY header" };
}

/** As far as there are bytes. */
function startsAlike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.subarray(0, length).equals(start.subarray(0, length));
}
