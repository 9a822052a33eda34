/** The topics that this service publishes to: routing keys on its exchange. */
export const TOPICS = ["metrics.raw", "checks.raw", "agent.status", "events.raw"] as const;

/** One of {@link TOPICS}. */
export type Topic = (typeof TOPICS)[number];
