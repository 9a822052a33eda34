import type { AgentIdentity } from "../../dist/agent/index.js";

/** Who is attacked, by whom, and how. */
export interface Mark {
  attack: string;
  port: number;
  ca: string;
  /** An enrolled agent, whom strangers do not use. */
  identity: AgentIdentity;
}

/** Tries once; resolves with what became of it, in a word or two. */
export type Attempt = (lane: number) => Promise<string>;

/** A way to attack. */
export interface Attack {
  /** How many attempts are under way at once. */
  atOnce: number;
  prepare(mark: Mark): Promise<Attempt>;
}

/** What became of an attack. */
export interface AttackReport {
  outcomes: Record<string, number>;
  elapsedMs: number;
  /** The attacker's own processor time. */
  cpuMs: number;
}
