/** What to tell a person: the driver's words rather than the ORM's, which hold the query. */
export function describeError(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describeError(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  if (error.message.startsWith("Failed query") && error.cause !== undefined) return describeError(error.cause);
  return "port" in error && "code" in error ? `cannot reach the database: ${error.message}` : error.message;
}
