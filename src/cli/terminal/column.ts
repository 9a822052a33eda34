/** A column of a table. */
export interface Column {
  title: string;
  /** What becomes of a text that is too long: a name loses its middle, unless rows would look alike; others stay whole. */
  long?: "shorten" | "wrap";
  /** It is left out where the terminal is too narrow. */
  isOptional?: true;
}

/** A column of names, which may lose their middle. */
export function names(title: string): Column {
  return { title, long: "shorten" };
}

/** A column of sentences, which may take several lines. */
export function sentences(title: string): Column {
  return { title, long: "wrap" };
}

/** A column that is left out where the terminal is too narrow. */
export function optional(column: Column | string): Column {
  return { ...toColumn(column), isOptional: true };
}

/** A column that is named only stays whole. */
export function toColumn(column: Column | string): Column {
  return typeof column === "string" ? { title: column } : column;
}
