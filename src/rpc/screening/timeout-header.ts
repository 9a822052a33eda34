/** What a timer can hold; longer ones fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
const MAX_GRPC_TIMEOUT = `${Math.floor(MAX_TIMEOUT_MS / 1000)}S`;

const UNIT_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1_000 };

/** A deadline as gRPC writes it, or the longest one that a timer can hold; a malformed one is left as it is. */
export function clampGrpcTimeout(timeout: string): string {
  const [, digits, unit = ""] = /^(\d{1,8})([HMS])$/.exec(timeout) ?? [];
  return Number(digits) * (UNIT_MS[unit] ?? 0) > MAX_TIMEOUT_MS ? MAX_GRPC_TIMEOUT : timeout;
}

/** Shortens a deadline that no timer can hold to the longest one that it can; malformed ones are left as they are. */
export function clampTimeout(header: Headers): void {
  const grpcTimeout = header.get("grpc-timeout");
  if (grpcTimeout !== null) header.set("grpc-timeout", clampGrpcTimeout(grpcTimeout));
  const connectTimeout = header.get("connect-timeout-ms") ?? "";
  if (/^\d{1,10}$/.test(connectTimeout) && Number(connectTimeout) > MAX_TIMEOUT_MS) {
    header.set("connect-timeout-ms", String(MAX_TIMEOUT_MS));
  }
}
