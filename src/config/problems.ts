import type { z } from "zod";
import { databaseUrlName } from "./environment.js";
import type { Variable } from "./variables.js";

/** What is wrong with a variable, in one line without a secret. */
export function describeIssue(
  issue: z.core.$ZodIssue,
  environment: Readonly<Record<string, string | undefined>>,
  env: Readonly<Record<string, string>>,
): string {
  const name = String(issue.path[0]) as Variable;
  const value = env[name];
  if (value === undefined) return `${name} is not set; expected ${issue.message}`;
  // What is wrong with the URL is named, and the URL not shown: it may hold a password.
  if (name === "DATABASE_URL") return `${databaseUrlName(environment)} is not valid: ${issue.message}`;
  if (name === "INGEST_AMQP_URL") return `${name} is not valid: ${issue.message}`;
  return `${name}=${value} is not valid; expected ${issue.message}`;
}

/** Of a certificate and its key either both are set or neither. */
export function pairProblems(env: Record<string, string | undefined>, one: Variable, other: Variable): string[] {
  if ((env[one] === undefined) === (env[other] === undefined)) return [];
  const [set, unset] = env[one] === undefined ? [other, one] : [one, other];
  return [`${unset} is not set; expected both or neither, since ${set} is`];
}
