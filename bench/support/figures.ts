/** The median, and the range. */
export function spread(figures: readonly number[], digits: number): string {
  const [median, least, most] = [0.5, 0, 1].map((share) => quantile(figures, share).toFixed(digits));
  return `${median} (${least} to ${most})`;
}

/** What this share of the figures does not exceed; NaN of none. */
export function quantile(figures: readonly number[], share: number): number {
  const sorted = [...figures].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
