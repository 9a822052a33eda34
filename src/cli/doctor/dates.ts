import { error, type Finding, ok, warning } from "./check.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const WARN_BEFORE_MS = 30 * DAY_MS;

/** Whether a certificate is in date, and will be for a month. */
export function checkDates(
  what: string,
  { notBefore, notAfter }: { notBefore: Date; notAfter: Date },
  remedy: string,
): Finding {
  const now = Date.now();
  if (notBefore.getTime() > now) {
    return error(`${what} is not valid before ${notBefore.toISOString()}`, `check this machine's clock, or ${remedy}`);
  }
  if (notAfter.getTime() < now) return error(`${what} expired on ${notAfter.toISOString()}`, remedy);
  if (notAfter.getTime() < now + WARN_BEFORE_MS) {
    return warning(`${what} expires in ${Math.floor((notAfter.getTime() - now) / DAY_MS)} days`, remedy);
  }
  return ok(`${what} is good until ${notAfter.toISOString()}`);
}
