import type { Terminal } from "../context.js";
import { printable } from "../terminal/printable.js";
import { coloured } from "../terminal/table.js";
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
      const text = [...wrap(printable(message), width), ...(remedy ? wrap(`→ ${remedy}`, width) : [])];
      const word = terminal?.hasColours ? coloured(verdict) : verdict;
      const start = `${word}${" ".repeat(verdictWidth - verdict.length)}${GAP}${check.padEnd(checkWidth)}${GAP}`;
      return text.map((line, index) => `${index === 0 ? start : " ".repeat(indent)}${line}`);
    })
    .join("\n");
}

/** Breaks a text between words; a longer word stands alone on its line. */
function wrap(text: string, width: number | undefined): string[] {
  if (width === undefined) return [text];
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
