import { isMissingRelation } from "../../store/database.js";
import { describeError } from "../interaction/describe-error.js";
import { type Check, error, type Finding, type Subject, skipped } from "./check.js";

/** A finding, and the check it is of. */
export type NamedFinding = { check: string } & Finding;

/** Runs checks one after the other: one that fails does not keep those after it from running. */
export async function runChecks(checks: readonly Check[], subject: Subject): Promise<NamedFinding[]> {
  const findings: NamedFinding[] = [];
  for (const { name, run } of checks) {
    const found = await run(subject).catch((thrown: unknown) => [toFinding(thrown)]);
    findings.push(...found.map((finding) => ({ check: name, ...finding })));
  }
  return findings;
}

/** Whether somebody has to look at it. */
export function isWrong({ verdict }: Finding): boolean {
  return verdict === "warning" || verdict === "error";
}

function toFinding(thrown: unknown): Finding {
  return isMissingRelation(thrown)
    ? skipped("the database is not migrated so far")
    : error(describeError(thrown), "put right what the message names, then look again");
}
