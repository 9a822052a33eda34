import { z } from "zod";
import { duration, wholeNumber } from "./settings.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const LARGEST_LIMIT = 1_000_000;
/** nghttp2 takes no header list that is longer. */
const LARGEST_HEADERS = 64 * KIB;
/** What is read is held with what it is decoded to, and of more than one agent at a time. */
const MESSAGES_THAT_WAIT = 4;

function bytes(min: number, max: number) {
  return wholeNumber(min, max, `a number of bytes from ${min} to ${max}`);
}

function timeout(max: number, expected: string) {
  return duration(1_000, max, `a duration from 1s to ${expected}`);
}

/** Bounds of what others may take of an instance, in README's order, with their defaults. */
export const limitVariables = z.object({
  INGEST_MAX_CONNECTIONS: wholeNumber(1, LARGEST_LIMIT, `a number of connections from 1 to ${LARGEST_LIMIT}`).default(
    20_000,
  ),
  INGEST_MAX_CONNECTIONS_PER_ADDRESS: wholeNumber(0, LARGEST_LIMIT, "a number of connections (0 = no limit)").default(
    0,
  ),
  INGEST_MAX_HANDSHAKES: wholeNumber(1, LARGEST_LIMIT, `a number of TLS handshakes from 1 to ${LARGEST_LIMIT}`).default(
    32,
  ),
  INGEST_MAX_STREAMS_PER_CONNECTION: wholeNumber(3, 10_000, "a number of streams from 3 to 10000").default(100),
  INGEST_MAX_RESETS_PER_SECOND: wholeNumber(1, LARGEST_LIMIT, `a number of streams from 1 to ${LARGEST_LIMIT}`).default(
    20,
  ),
  INGEST_MAX_HEADER_BYTES: bytes(2 * KIB, LARGEST_HEADERS).default(16 * KIB),
  INGEST_MAX_MESSAGE_BYTES: bytes(64 * KIB, GIB).default(4 * MIB),
  INGEST_MAX_MESSAGE_FIELDS: wholeNumber(
    4_096,
    LARGEST_LIMIT,
    `a number of fields from 4096 to ${LARGEST_LIMIT}`,
  ).default(24_576),
  INGEST_MAX_REQUEST_BYTES: bytes(16 * KIB, 16 * MIB).default(64 * KIB),
  INGEST_MAX_WAITING_BYTES: bytes(MIB, 64 * GIB).default(64 * MIB),
  INGEST_HANDSHAKE_TIMEOUT: timeout(10 * MINUTE_MS, "10m").default(30_000),
  INGEST_REQUEST_TIMEOUT: timeout(10 * MINUTE_MS, "10m").default(10_000),
  INGEST_MESSAGE_TIMEOUT: timeout(10 * MINUTE_MS, "10m").default(20_000),
  INGEST_IDLE_TIMEOUT: duration(MINUTE_MS, DAY_MS, "a duration from 1m to 1d").default(5 * MINUTE_MS),
  INGEST_HTTP_MAX_CONNECTIONS: wholeNumber(
    2,
    LARGEST_LIMIT,
    `a number of connections from 2 to ${LARGEST_LIMIT}`,
  ).default(256),
});

type LimitVariables = z.infer<typeof limitVariables>;

/** Bounds of what others may take of an instance; times are in milliseconds. docs/operations.md has what happens past each. */
export interface LimitsConfig {
  /** Of the agents' port. */
  connections: {
    /** Open at one time, in all and of one address; 0 for no limit of an address. */
    maxConnections: number;
    maxPerAddress: number;
    /** In their TLS handshake at one time. */
    maxHandshakes: number;
    /** Of one connection. */
    maxStreams: number;
    maxResetsPerSecond: number;
    maxHeaderBytes: number;
  };
  /** Of the plain port. */
  plain: { maxConnections: number; maxHeaderBytes: number };
  messages: {
    /** Of one message of a stream. */
    maxBytes: number;
    maxElements: number;
    /** Of one message that is read before it is known who sends it. */
    maxRequestBytes: number;
    /** Of all messages of streams that are being read or stored. */
    maxWaitingBytes: number;
  };
  requests: { handshakeMs: number; headersMs: number; requestMs: number; messageMs: number; idleMs: number };
}

/** A request of HTTP/1.1 has so much longer than its headers. */
const REQUEST_PER_HEADERS = 3;

/** The bounds that the variables say. */
export function toLimits(v: LimitVariables): LimitsConfig {
  const maxHeaderBytes = v.INGEST_MAX_HEADER_BYTES;
  return {
    connections: {
      maxConnections: v.INGEST_MAX_CONNECTIONS,
      maxPerAddress: v.INGEST_MAX_CONNECTIONS_PER_ADDRESS,
      maxHandshakes: v.INGEST_MAX_HANDSHAKES,
      maxStreams: v.INGEST_MAX_STREAMS_PER_CONNECTION,
      maxResetsPerSecond: v.INGEST_MAX_RESETS_PER_SECOND,
      maxHeaderBytes,
    },
    plain: { maxConnections: v.INGEST_HTTP_MAX_CONNECTIONS, maxHeaderBytes },
    messages: {
      maxBytes: v.INGEST_MAX_MESSAGE_BYTES,
      maxElements: v.INGEST_MAX_MESSAGE_FIELDS,
      maxRequestBytes: v.INGEST_MAX_REQUEST_BYTES,
      maxWaitingBytes: v.INGEST_MAX_WAITING_BYTES,
    },
    requests: {
      handshakeMs: v.INGEST_HANDSHAKE_TIMEOUT,
      headersMs: v.INGEST_REQUEST_TIMEOUT,
      requestMs: REQUEST_PER_HEADERS * v.INGEST_REQUEST_TIMEOUT,
      messageMs: v.INGEST_MESSAGE_TIMEOUT,
      idleMs: v.INGEST_IDLE_TIMEOUT,
    },
  };
}

/** What cannot be together. */
export function limitProblems(v: LimitVariables): string[] {
  const least = MESSAGES_THAT_WAIT * Math.max(v.INGEST_MAX_MESSAGE_BYTES, v.INGEST_MAX_REQUEST_BYTES);
  if (v.INGEST_MAX_WAITING_BYTES >= least) return [];
  return [
    `INGEST_MAX_WAITING_BYTES=${v.INGEST_MAX_WAITING_BYTES} is not valid; expected ${least} at least, ` +
      "four times what one message may have",
  ];
}
