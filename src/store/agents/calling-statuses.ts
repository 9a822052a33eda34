import { type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { AgentStatus } from "./agents.js";

/**
 * The states in which an agent may call, and whoever is in one of them counts as enrolled. Offline is a passing state: every
 * rule that accepts active accepts offline (agents in the field, fault 1), and so asks here.
 */
export const CALLING_STATUSES = ["active", "offline"] as const satisfies readonly AgentStatus[];

const SET: ReadonlySet<string> = new Set(CALLING_STATUSES);
/** As literals, which fit a column of text and one of an enum, which the platform may make of it. */
const LIST = sql.raw(CALLING_STATUSES.map((status) => `'${status}'`).join(", "));

/** Whether an agent with this status may call. */
export function mayCall(status: string): boolean {
  return SET.has(status);
}

/**
 * The same as a condition in SQL.
 *
 * @param status the column
 */
export function isCallingStatus(status: SQLWrapper): SQL {
  return sql`${status} in (${LIST})`;
}
