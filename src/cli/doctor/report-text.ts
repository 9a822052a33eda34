import type { Terminal } from "../context.js";
import { coloured } from "../terminal/colours.js";
import { printable } from "../terminal/printable.js";
import { wrap } from "../terminal/text-width.js";
import type { NamedFinding } from "./run-checks.js";

const GAP = "  ";
const MIN_TEXT_WIDTH = 20;

/** The findings for people: a table whose last column is wrapped to the terminal rather than cut. */
export function formatReport(findings: readonly NamedFinding[], terminal?: Terminal): string {
  const verdictWidth = Math.max(...findings.map(({ verdict }) => verdict.length));
  const checkWidth = Math.max(...findings.map(({ check }) => check.length));
  const indent = verdictWidth + checkWidth + 2 * GAP.length;
  const width = terminal && Math.max(terminal.columns - indent, MIN_TEXT_WIDTH);
  return findings
    .flatMap(({ verdict, check, message, remedy }) => {
      const lines = [printable(message), ...(remedy ? [`→ ${remedy}`] : [])];
      const text = lines.flatMap((line) => (width === undefined ? [line] : wrap(line, width, { breakWords: false })));
      const word = terminal?.hasColours ? coloured(verdict) : verdict;
      const start = `${word}${" ".repeat(verdictWidth - verdict.length)}${GAP}${check.padEnd(checkWidth)}${GAP}`;
      return text.map((line, index) => `${index === 0 ? start : " ".repeat(indent)}${line}`);
    })
    .join("\n");
}
