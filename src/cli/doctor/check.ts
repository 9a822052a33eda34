import type { ConfigResult } from "../../config/config.js";
import type { Variables } from "../../config/variables.js";
import type { Queryable } from "../../store/database.js";

/** Ordered from good to bad. */
export type Verdict = "ok" | "skipped" | "warning" | "error";

/** What a check found. */
export interface Finding {
  verdict: Verdict;
  /** What is so; one sentence without its full stop. */
  message: string;
  /** What to do about it. */
  remedy?: string;
}

/** What checks look at. */
export interface Subject {
  /** The configuration, or its problems. */
  configuration: ConfigResult;
  /** The variables that are valid, whatever is wrong with others; defaults included. */
  variables: Partial<Variables>;
  /** Undefined when the database cannot be reached. */
  db: Queryable | undefined;
}

/** One thing that is looked at. It may throw: that is reported as a finding of its own. */
export interface Check {
  name: string;
  run(subject: Subject): Promise<Finding[]>;
}

/** A check that is nothing without the database. */
export function databaseCheck(name: string, run: (db: Queryable, subject: Subject) => Promise<Finding[]>): Check {
  return {
    name,
    run: async (subject) =>
      subject.db === undefined ? [skipped("the database cannot be reached")] : run(subject.db, subject),
  };
}

export const ok = (message: string): Finding => ({ verdict: "ok", message });
export const skipped = (message: string): Finding => ({ verdict: "skipped", message });
export const warning = (message: string, remedy: string): Finding => ({ verdict: "warning", message, remedy });
export const error = (message: string, remedy: string): Finding => ({ verdict: "error", message, remedy });
