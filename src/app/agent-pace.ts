import type { PaceLimit } from "../lib/bounds/pace.js";

/** How often one agent may do what, on each instance. */
export interface AgentPace {
  /** Of each method that needs a client certificate. */
  calls: PaceLimit;
  /** Registrations of a key that is known. */
  registrations: PaceLimit;
  heartbeats: PaceLimit;
}

/**
 * About ten times what an agent needs. One whose streams break at once comes back after 1, 2, 4, 8, 16, 32 s, and one
 * whose process ends every five seconds twelve times a minute; one that works sends two heartbeats a minute, and one more
 * for each result.
 */
export const AGENT_PACE: AgentPace = {
  calls: { perMinute: 20, burst: 20 },
  registrations: { perMinute: 20, burst: 20 },
  heartbeats: { perMinute: 120, burst: 60 },
};
