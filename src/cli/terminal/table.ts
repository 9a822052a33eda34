import type { Terminal } from "../context.js";
import { printable } from "./printable.js";

const GAP = "  ";
/** Columns are not made narrower than this, even when the terminal is. */
const MIN_WIDTH = 4;

const COLOUR = { green: 32, yellow: 33, red: 31, grey: 90 };

/** What a cell of a column named STATUS looks like where there are colours. */
const COLOUR_OF_STATUS: Readonly<Record<string, keyof typeof COLOUR>> = {
  active: "green",
  online: "green",
  usable: "green",
  ok: "green",
  pending: "yellow",
  warning: "yellow",
  exhausted: "grey",
  expired: "grey",
  offline: "grey",
  unknown: "grey",
  unusable: "grey",
  skipped: "grey",
  revoked: "red",
  error: "red",
};

/**
 * Lays rows out in columns, left-aligned. On a terminal no line is wider than it: the widest columns are cut, the first
 * one, which names the row, is not.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  terminal?: Terminal,
): string {
  const cells = [header, ...rows.map((row) => row.map(printable))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ""))));
  if (terminal !== undefined) fit(widths, terminal.columns);
  return cells
    .map((row, index) =>
      row
        .map((cell, column) => {
          const text = cut(cell, widths[column] ?? 0);
          const isStatus = index > 0 && terminal?.hasColours === true && header[column] === "STATUS";
          const padding = " ".repeat((widths[column] ?? 0) - widthOf(text));
          return `${isStatus ? coloured(text) : text}${padding}`;
        })
        .join(GAP)
        .trimEnd(),
    )
    .join("\n");
}

/** A word in the colour of the status it names. */
export function coloured(status: string): string {
  const colour = COLOUR_OF_STATUS[status];
  return colour === undefined ? status : `\x1b[${COLOUR[colour]}m${status}\x1b[0m`;
}

function fit(widths: number[], columns: number): void {
  const total = () => widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));
  while (total() > columns) {
    const widest = Math.max(...widths.slice(1));
    if (widest <= MIN_WIDTH) return;
    widths[widths.indexOf(widest, 1)] = widest - 1;
  }
}

function cut(text: string, width: number): string {
  return widthOf(text) <= width ? text : `${[...text].slice(0, width - 1).join("")}…`;
}

function widthOf(text: string): number {
  return [...text].length;
}
