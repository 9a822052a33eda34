import { coloured } from "./colours.js";
import { type Column, toColumn } from "./column.js";
import { fitColumns } from "./fit-columns.js";
import type { Layout } from "./layout.js";
import { printable } from "./printable.js";
import { shortenMiddle, widthOf, wrap } from "./text-width.js";
import { formatTime } from "./times.js";

const GAP = "  ";

/** What stands in a cell. */
export type Cell = string | Date;

/**
 * Lays rows out in columns, left-aligned. On a terminal no line is wider than it, and no two rows look alike because of
 * it: names lose their middle, sentences take several lines, optional columns are left out and named below; where all that
 * is not enough, each row becomes a paragraph.
 */
export function formatTable(
  columns: readonly (Column | string)[],
  rows: readonly (readonly Cell[])[],
  layout: Layout,
): string {
  const all = columns.map(toColumn);
  const texts = rows.map((row) => row.map((cell) => printable(cell instanceof Date ? formatTime(cell, layout) : cell)));
  const fitted = fitColumns(all, texts, GAP.length, layout.isWide ? undefined : layout.terminal?.columns);
  if (fitted === undefined) return formatRecords(all, texts, layout);
  const shown = fitted.shown.map(({ index, width }) => {
    const column = all[index] as Column;
    const cells = texts.map((row) => row[index] ?? "");
    return { column, width, cells: [[column.title], ...fitCells(cells, column, width)] };
  });
  const lines = [...rows.keys(), rows.length].flatMap((row) => {
    const height = Math.max(...shown.map(({ cells }) => cells[row]?.length ?? 0));
    return Array.from({ length: height }, (_, line) =>
      shown
        .map(({ column, width, cells }) => {
          const text = cells[row]?.[line] ?? "";
          const isStatus = row > 0 && layout.terminal?.hasColours === true && column.title === "STATUS";
          return `${isStatus ? coloured(text) : text}${" ".repeat(width - widthOf(text))}`;
        })
        .join(GAP)
        .trimEnd(),
    );
  });
  const leftOut = fitted.leftOut.map((index) => all[index]?.title);
  return [...lines, ...(leftOut.length > 0 ? [`(--wide shows ${leftOut.join(", ")} as well)`] : [])].join("\n");
}

/** The lines of each cell. */
function fitCells(cells: readonly string[], { long }: Column, width: number): string[][] {
  const toLines = (text: string) => wrap(text, width, { breakWords: true });
  if (long !== "shorten") return cells.map((text) => (widthOf(text) <= width ? [text] : toLines(text)));
  const textsOf = new Map<string, Set<string>>();
  for (const text of cells) {
    const short = shortenMiddle(text, width);
    textsOf.set(short, (textsOf.get(short) ?? new Set()).add(text));
  }
  return cells.map((text) => {
    const short = shortenMiddle(text, width);
    return textsOf.get(short)?.size === 1 ? [short] : toLines(text);
  });
}

/** A paragraph for each row. */
function formatRecords(columns: readonly Column[], rows: readonly (readonly string[])[], { terminal }: Layout): string {
  const labelWidth = Math.max(...columns.map(({ title }) => widthOf(title)));
  const width = Math.max((terminal?.columns ?? 0) - labelWidth - GAP.length, 1);
  return rows
    .map((row) =>
      columns
        .flatMap(({ title }, index) => {
          const text = row[index] ?? "";
          if (text === "") return [];
          return wrap(text, width, { breakWords: true }).map((line, number) => {
            const shown = title === "STATUS" && terminal?.hasColours ? coloured(line) : line;
            return `${(number === 0 ? title : "").padEnd(labelWidth)}${GAP}${shown}`;
          });
        })
        .join("\n"),
    )
    .join("\n\n");
}
