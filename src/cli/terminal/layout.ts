import type { Terminal } from "../context.js";

/** How output for people is laid out. */
export interface Layout {
  /** Undefined where output goes into a pipe or a file: nothing is cut there. */
  terminal?: Terminal | undefined;
  /** Everything is shown in full, however wide the terminal is. */
  isWide?: boolean | undefined;
  /** What times are told by: the database's clock, which they come from. */
  now: Date;
}
