import type { Transaction } from "../../store/transaction.js";
import { type FinishedTasks, finishTasks } from "../../store/work/tasks/task-results.js";
import type { StartedTask } from "../../store/work/tasks/tasks.js";
import { MAX_PUSH_BYTES } from "../max-push-bytes.js";

/**
 * Ends those of the tasks that no message can hold. They were marked running in this transaction, which holds the locks of
 * their runs.
 *
 * @returns the others, which are to be sent, and what has ended
 */
export async function failLargeTasks(
  tx: Transaction,
  started: readonly StartedTask[],
): Promise<{ sendable: StartedTask[]; finished: FinishedTasks }> {
  const isLarge = ({ configText }: StartedTask) => Buffer.byteLength(configText) > MAX_PUSH_BYTES;
  const large = started.filter(isLarge);
  const outcomes = large.map(({ id, hostId, organisationId }) => ({
    taskId: id,
    hostId,
    organisationId,
    exitCode: -1,
    resultJson: null,
    error: "The task was not sent: agents take messages of 4 MiB, and its configuration is larger.",
  }));
  const runIds = [...new Set(large.map(({ runId }) => runId))];
  return { sendable: started.filter((task) => !isLarge(task)), finished: await finishTasks(tx, outcomes, runIds) };
}
