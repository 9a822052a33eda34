import { type SQL, sql } from "drizzle-orm";
import type { Transaction } from "../../transaction.js";
import type { WorkHost } from "../work-host.js";

/**
 * Most bytes of what a task printed; what is more is cut, with a mark. With the error that may follow, 64 KiB at most,
 * `task_run_hosts.raw_output` stays below 1 MiB.
 */
const MAX_PRINTED_BYTES = 900 * 1024;
const CUT_MARK = "\n[output cut: it is longer than 900 KiB]\n";

/**
 * What `raw_output` becomes when text is appended: nothing more once it was cut. A character has four bytes at most, so
 * that cutting by characters stays below the bound.
 */
function appended(text: SQL): SQL {
  const room = sql`(${MAX_PRINTED_BYTES} - octet_length(r.raw_output))`;
  return sql`case
    when right(r.raw_output, ${CUT_MARK.length}) = ${CUT_MARK} then r.raw_output
    when octet_length(${text}) <= ${room} then r.raw_output || ${text}
    else r.raw_output || left(${text}, greatest(${room}, 0) / 4) || ${CUT_MARK}
  end`;
}

/** What a task printed, in the order it came. */
export interface TaskProgress extends WorkHost {
  taskId: string;
  text: string;
}

/**
 * Appends to the output of open tasks of their own hosts. Their rows are locked ({@link lockTasks}).
 *
 * @param isRetry whether a commit of unknown outcome may have written it already: what the output ends with is not
 * appended again
 * @returns the ids of the tasks that may have it
 */
export async function appendTaskOutput(
  tx: Transaction,
  progress: readonly TaskProgress[],
  isRetry: boolean,
): Promise<Set<string>> {
  if (progress.length === 0) return new Set();
  const { rows } = await tx.execute<{ id: string }>(sql`
    update task_run_hosts r
    set raw_output = case when ${isRetry} and right(r.raw_output, length(v.text)) = v.text then r.raw_output
                          else ${appended(sql`v.text`)} end,
        updated_at = now()
    from (
      select "taskId", "hostId", "organisationId", string_agg(text, '' order by nth) as text
      from rows from (jsonb_to_recordset(${JSON.stringify(progress)}::jsonb)
        as ("taskId" text, "hostId" text, "organisationId" text, text text)) with ordinality
        as p("taskId", "hostId", "organisationId", text, nth)
      group by "taskId", "hostId", "organisationId"
    ) v
    where r.id = v."taskId" and r.host_id = v."hostId" and r.organisation_id = v."organisationId"
      and r.status in ('pending', 'running', 'cancelling') and r.deleted_at is null
    returning r.id`);
  return new Set(rows.map(({ id }) => id));
}
