/** What a timer can hold; longer ones fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
const MAX_GRPC_TIMEOUT = `${Math.floor(MAX_TIMEOUT_MS / 1000)}S`;

const UNIT_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1_000 };

/** Shortens a deadline that no timer can hold to the longest one that it can; malformed ones are left as they are. */
export function clampTimeout(header: Headers): void {
  const [, digits, unit = ""] = /^(\d{1,8})([HMS])$/.exec(header.get("grpc-timeout") ?? "") ?? [];
  if (Number(digits) * (UNIT_MS[unit] ?? 0) > MAX_TIMEOUT_MS) header.set("grpc-timeout", MAX_GRPC_TIMEOUT);
  const connectTimeout = header.get("connect-timeout-ms") ?? "";
  if (/^\d{1,10}$/.test(connectTimeout) && Number(connectTimeout) > MAX_TIMEOUT_MS) {
    header.set("connect-timeout-ms", String(MAX_TIMEOUT_MS));
  }
}
