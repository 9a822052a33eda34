import type { QueryConfig } from "pg";
import { createId } from "../../lib/ids.js";

/** The server keeps a statement, and its plan, until the session ends: there is an end to how many. */
const MAX_STATEMENTS = 50;

/** The statements that one connection has the server keep: those are parsed, and mostly planned, only once. */
export class KeptStatements {
  /** A pooler that resets nothing gives the next client a session that has the names of the one before. */
  readonly #prefix = createId();
  readonly #names = new Map<string, string>();

  /** The statement with the name that it is kept by; without one where it has no values, or too many are kept already. */
  keep(statement: QueryConfig, values: unknown): QueryConfig {
    if (!Array.isArray(values) || values.length === 0) return statement;
    const { text } = statement;
    if (!this.#names.has(text) && this.#names.size < MAX_STATEMENTS) {
      this.#names.set(text, `${this.#prefix}_${this.#names.size}`);
    }
    const name = this.#names.get(text);
    return name === undefined ? statement : { ...statement, name };
  }
}
