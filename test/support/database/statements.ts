import pg from "pg";

/** A statement that was sent. */
export interface Statement {
  text: string;
  values: unknown[];
}

/** What an instance reads now and then for itself. */
const IN_THE_BACKGROUND = /certificate_authorities|signing_keys/;

/** Records the statements that anybody in this process sends while something is done. */
export async function recordStatements(work: () => Promise<unknown>): Promise<Statement[]> {
  const statements: Statement[] = [];
  const original = pg.Client.prototype.query;
  pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
    const [query, values] = args as [string | { text: string; values?: unknown[] }, unknown[] | undefined];
    const text = typeof query === "string" ? query : query.text;
    const given = Array.isArray(values) ? values : typeof query === "string" ? [] : (query.values ?? []);
    statements.push({ text, values: given });
    return Reflect.apply(original, this, args);
  } as typeof original;
  try {
    await work();
  } finally {
    pg.Client.prototype.query = original;
  }
  return statements.filter(
    ({ text }) => /^\s*(with|select|insert|update|delete)\b/i.test(text) && !IN_THE_BACKGROUND.test(text),
  );
}
