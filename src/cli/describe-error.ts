import { describeDatabaseError } from "../store/connection/database-refusal.js";

/** What to tell a person: one line that says what is so and, of the database, what to do. */
export function describeError(error: unknown): string {
  const ofDatabase = describeDatabaseError(error);
  if (ofDatabase !== undefined) return ofDatabase;
  if (error instanceof AggregateError && error.errors.length > 0) return describeError(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
