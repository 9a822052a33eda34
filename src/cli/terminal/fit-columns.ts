import type { Column } from "./column.js";
import { widthOf } from "./text-width.js";

/** Columns of text are made narrower in two steps: before others are left out for them, and after. */
const NARROW = [32, 14];

/** Which columns are shown, how wide, and which are left out, by their place among all. */
export interface FittedColumns {
  shown: { index: number; width: number }[];
  leftOut: number[];
}

/**
 * Chooses columns and widths so that a line is not longer than a terminal is wide.
 *
 * @param columns of the terminal; undefined where there is no limit
 * @returns undefined when it cannot be done
 */
export function fitColumns(
  all: readonly Column[],
  rows: readonly (readonly string[])[],
  gap: number,
  columns: number | undefined,
): FittedColumns | undefined {
  const widths = all.map(({ title }, index) =>
    rows.reduce((width, row) => Math.max(width, widthOf(row[index] ?? "")), widthOf(title)),
  );
  let indexes = [...all.keys()];
  const shownAs = (narrowest: number) => fit(indexes, all, widths, { gap, columns, narrowest });
  const result = (shown: FittedColumns["shown"] | undefined, leftOut: number[]) => shown && { shown, leftOut };
  const [comfortable = 0, narrowest = 0] = NARROW;
  const whole = shownAs(comfortable);
  if (whole !== undefined) return result(whole, []);

  indexes = indexes.filter((index) => rows.some((row) => row[index]));
  const leftOut: number[] = [];
  for (;;) {
    const shown = shownAs(comfortable);
    if (shown !== undefined) return result(shown, leftOut);
    const last = indexes.findLast((index) => all[index]?.isOptional);
    if (last === undefined) return result(shownAs(narrowest), leftOut);
    indexes = indexes.filter((index) => index !== last);
    leftOut.unshift(last);
  }
}

function fit(
  indexes: readonly number[],
  all: readonly Column[],
  widths: readonly number[],
  { gap, columns, narrowest }: { gap: number; columns: number | undefined; narrowest: number },
): FittedColumns["shown"] | undefined {
  const shown = indexes.map((index) => ({ index, width: widths[index] ?? 0 }));
  const total = () => shown.reduce((sum, { width }) => sum + width, gap * (shown.length - 1));
  while (columns !== undefined && total() > columns) {
    const flexible = shown.filter(({ index, width }) => {
      const { long, title = "" } = all[index] ?? {};
      return long !== undefined && width > Math.max(narrowest, widthOf(title));
    });
    if (flexible.length === 0) return undefined;
    const widest = flexible.reduce((a, b) => (b.width > a.width ? b : a));
    widest.width -= 1;
  }
  return shown;
}
