import { IngestError } from "../../errors.js";
import { findDatabaseRefusal } from "../../store/connection/database-refusal.js";

/** What a command could not do, one line for each. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";

  constructor(readonly problems: readonly string[]) {
    super(problems.join("\n"));
  }
}

/** What to tell a person: one line that says what is so and, of the database, what to do. */
export function describeError(error: unknown): string {
  // Ours say it all; of a database that is away the cause says more.
  if (error instanceof IngestError && error.code !== "database_unavailable") return error.message;
  const refusal = findDatabaseRefusal(error);
  if (refusal !== undefined) return refusal.remedy === undefined ? refusal.what : `${refusal.what}; ${refusal.remedy}`;
  if (error instanceof AggregateError && error.errors.length > 0) return describeError(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
