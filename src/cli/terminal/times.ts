import type { Layout } from "./layout.js";

const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const DAY_S = 24 * HOUR_S;
/** From here on the next smaller unit would be as good. */
const DAYS_FROM_S = 2 * DAY_S;
const DATE_FROM_S = 60 * DAY_S;

/** A time for people: how long ago where they look at it now; exact where it may be kept, or is wanted so. */
export function formatTime(time: Date, { terminal, isWide, now }: Layout): string {
  return terminal === undefined || isWide ? time.toISOString() : relativeTime(time, now);
}

/** `3 min ago`, `in 12 days`; the day where it is far away. */
export function relativeTime(time: Date, now: Date): string {
  const seconds = Math.round((now.getTime() - time.getTime()) / 1000);
  const distance = describe(Math.abs(seconds));
  if (distance === undefined) return time.toISOString().slice(0, 10);
  return seconds < 0 ? `in ${distance}` : `${distance} ago`;
}

function describe(seconds: number): string | undefined {
  if (seconds < MINUTE_S) return `${seconds} s`;
  if (seconds < HOUR_S) return `${Math.floor(seconds / MINUTE_S)} min`;
  if (seconds < DAYS_FROM_S) return `${Math.floor(seconds / HOUR_S)} h`;
  return seconds < DATE_FROM_S ? `${Math.floor(seconds / DAY_S)} days` : undefined;
}
