/** A percentage from 0 to 100; null for what is no number. */
export function clampPercent(value: number): number | null {
  return Number.isNaN(value) ? null : Math.min(100, Math.max(0, value));
}

/** A number from 0 to this one. */
export function clampInteger(value: bigint, max: number): number {
  if (value < 0n) return 0;
  return value > BigInt(max) ? max : Number(value);
}
