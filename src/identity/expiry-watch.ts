import type { KeyEvents } from "./key-events.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const WARN_BEFORE_MS = 30 * DAY_MS;

/** A certificate whose end somebody has to act on. */
export interface ExpiringCertificate {
  /** What it is, and where to renew it. */
  name: string;
  notAfter: Date;
}

/**
 * Warns of certificates that expire within 30 days, now and once a day.
 *
 * @param certificates asked for each time, since they may have been replaced
 * @returns how to stop
 */
export function watchExpiry(
  certificates: () => readonly ExpiringCertificate[],
  events: KeyEvents,
  intervalMs = DAY_MS,
): () => void {
  const warn = () => {
    for (const { name, notAfter } of certificates()) {
      if (notAfter.getTime() - Date.now() < WARN_BEFORE_MS) events.certificateExpires({ certificate: name, notAfter });
    }
  };
  warn();
  const timer = setInterval(warn, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
