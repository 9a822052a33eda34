import { groupBy } from "../../lib/group-by.js";
import { createId } from "../../lib/ids.js";
import { type CheckResultRow, KEPT_RESULTS } from "../../store/work/checks.js";
import type { QueryAnswer } from "../../store/work/queries.js";
import type { TaskProgress } from "../../store/work/tasks/task-output.js";
import type { TaskOutcome } from "../../store/work/tasks/task-results.js";
import type { WorkHost } from "../../store/work/work-host.js";
import { NO_CHECKS } from "../dispatch/check-definitions.js";
import { cleanJson, cleanText, cutText } from "../text.js";

/** What an agent brings back in one message, as it came over the wire. */
export interface RawWorkReport {
  checkResults: readonly {
    checkId: string;
    status: string;
    output: string;
    durationMs: number;
    ranAtUnix: bigint;
  }[];
  queryResults: readonly {
    queryId: string;
    status: string;
    error: string;
    ports: readonly { port: number; protocol: string; process: string }[];
    services: readonly { name: string; loadState: string; activeSub: string }[];
  }[];
  taskProgress: readonly { taskId: string; outputChunk: string }[];
  taskResults: readonly { taskId: string; exitCode: number; resultJson: string; error: string }[];
}

/** What an agent brings back, within what the columns hold and mean; its host is the stream's own. */
export interface WorkReport {
  checkResults: CheckResultRow[];
  queryAnswers: QueryAnswer[];
  taskProgress: TaskProgress[];
  taskOutcomes: TaskOutcome[];
}

/** Most bytes of a check's output and of an error. */
export const MAX_OUTPUT_BYTES = 64 * 1024;

/** Most results of checks that are taken of one message. */
const MAX_CHECK_RESULTS = 5_000;

/** Whether a message brings anything back; most do not. */
export function bringsWork({ checkResults, queryResults, taskProgress, taskResults }: RawWorkReport): boolean {
  return checkResults.length + queryResults.length + taskProgress.length + taskResults.length > 0;
}

/**
 * Brings what an agent reports within bounds. It refuses nothing: the heartbeat that carries it has to be accepted, and
 * no agent sends a result again.
 */
export function clampWorkReport(raw: RawWorkReport, host: WorkHost, receivedAt: Date): WorkReport {
  const { hostId, organisationId } = host;
  return {
    checkResults: newestResults(raw.checkResults).map((result) => ({
      id: createId(),
      hostId,
      organisationId,
      checkId: cleanText(result.checkId),
      ranAt: clampTime(result.ranAtUnix, receivedAt),
      status: result.status === "pass" || result.status === "fail" ? result.status : "error",
      output: cutText(cleanText(result.output), MAX_OUTPUT_BYTES),
      durationMs: Math.max(0, result.durationMs),
    })),
    queryAnswers: raw.queryResults.map((result) => ({
      hostId,
      organisationId,
      queryId: cleanText(result.queryId),
      status: result.status === "ok" ? "complete" : "error",
      error: cutText(cleanText(result.error), MAX_OUTPUT_BYTES) || null,
      ports: result.ports.map(({ port, protocol, process }) => withoutEmpty({ port, protocol, process })),
      services: result.services.map(({ name, loadState, activeSub }) =>
        withoutEmpty({ name, load_state: loadState, active_sub: activeSub }),
      ),
    })),
    taskProgress: raw.taskProgress.map(({ taskId, outputChunk }) => ({
      hostId,
      organisationId,
      taskId: cleanText(taskId),
      text: cleanText(outputChunk),
    })),
    taskOutcomes: raw.taskResults.map(({ taskId, exitCode, resultJson, error }) => ({
      hostId,
      organisationId,
      taskId: cleanText(taskId),
      exitCode,
      resultJson: cleanJson(resultJson),
      error: cutText(cleanText(error), MAX_OUTPUT_BYTES),
    })),
  };
}

/**
 * Of each check no more than are kept in any case, and of all of them no more than can be written without holding up
 * others: without a stream results pile up at the agent, and come in its first message.
 */
function newestResults(results: RawWorkReport["checkResults"]): RawWorkReport["checkResults"] {
  const wanted = results.filter(({ checkId }) => checkId !== "" && checkId !== NO_CHECKS.checkId);
  if (wanted.length <= KEPT_RESULTS) return wanted;
  const byTime = (a: { ranAtUnix: bigint }, b: { ranAtUnix: bigint }) => Number(b.ranAtUnix - a.ranAtUnix);
  const newest = [...groupBy(wanted, ({ checkId }) => checkId).values()].map((own) =>
    own.length <= KEPT_RESULTS ? own : own.sort(byTime).slice(0, KEPT_RESULTS),
  );
  return newest.flat().slice(0, MAX_CHECK_RESULTS);
}

/** By the agent's clock, which may be anything; never after the time of receipt. */
function clampTime(unixSeconds: bigint, receivedAt: Date): Date {
  const latest = BigInt(Math.floor(receivedAt.getTime() / 1000));
  return unixSeconds <= 0n || unixSeconds >= latest ? receivedAt : new Date(Number(unixSeconds) * 1000);
}

/** As the earlier service wrote them, which the web app reads: empty members are left out. */
function withoutEmpty(row: Record<string, string | number>): object {
  return Object.fromEntries(
    Object.entries(row).flatMap(([name, value]) => {
      if (value === "" || value === 0) return [];
      return [[name, typeof value === "string" ? cleanText(value) : value]];
    }),
  );
}

/** About how much memory a report holds, in bytes. */
export function weightOf({ checkResults, queryAnswers, taskProgress, taskOutcomes }: WorkReport): number {
  const textLength =
    checkResults.reduce((sum, { output }) => sum + output.length, 0) +
    taskProgress.reduce((sum, { text }) => sum + text.length, 0) +
    taskOutcomes.reduce((sum, { resultJson, error }) => sum + (resultJson?.length ?? 0) + error.length, 0);
  const rows = queryAnswers.reduce((sum, { ports, services }) => sum + ports.length + services.length, 0);
  const parts = checkResults.length + queryAnswers.length + taskProgress.length + taskOutcomes.length;
  return textLength + 200 * (rows + parts);
}
