import { Command } from "commander";
import { describeRemarks } from "../../enrolment/duplicates/same-address.js";
import { approveAgent } from "../../enrolment/operators/approval.js";
import { approveAgentAs } from "../../enrolment/operators/take-over.js";
import { findAgent } from "../../store/agents/agents.js";
import type { Database } from "../../store/database.js";
import { listAddressRemarks } from "../../store/enrolment/address-remarks.js";
import { readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { CommandFailure } from "../describe-error.js";
import { forEachId } from "../for-each-id.js";
import { printable } from "../terminal/printable.js";

/** `agent approve`. */
export function agentApproveCommand(context: CommandContext): Command {
  return new Command("approve")
    .description("approve pending agents: their next poll is answered with an identity")
    .argument("<id...>", "ids of agents")
    .option("--as <host>", "let the agent take over this host, which it has an address in common with: id or hostname")
    .option("--dry-run", "say what would be approved, and what is to be known of it; change nothing")
    .action(async (ids: string[], { as, dryRun }: { as?: string; dryRun?: true }) => {
      if (as !== undefined && ids.length > 1) throw new Error("--as is for one agent");
      if (dryRun) return readDatabase(context, (database) => preview(context, database, ids));
      return forEachId(
        context,
        ids,
        as === undefined ? "approved" : "approved as another host",
        async (publishing, id) => {
          if (as !== undefined) {
            const { id: taken, hostname } = await approveAgentAs(publishing, id, as);
            return `${hostname}, agent ${taken} from now on`;
          }
          const remark = await describeRemark(publishing.database, id);
          if (remark !== undefined) context.warn(remark);
          return (await approveAgent(publishing, id)).hostname;
        },
      );
    });
}

async function preview(context: CommandContext, database: Database, ids: readonly string[]): Promise<void> {
  const problems: string[] = [];
  for (const id of ids) {
    const agent = await findAgent(database.db, id);
    if (agent?.status === "pending") {
      context.print(`would approve ${id} (${printable(agent.hostname)})`);
      const remark = await describeRemark(database, id);
      if (remark !== undefined) context.print(`  ${remark}`);
    } else problems.push(agent === undefined ? `no agent has the id ${id}` : `agent ${id} is ${agent.status}`);
  }
  if (problems.length > 0) throw new CommandFailure(problems);
}

/** What is to be known of an agent before it is approved. */
async function describeRemark({ db }: Database, id: string): Promise<string | undefined> {
  const remarks = (await listAddressRemarks(db, { agentId: id })).get(id);
  if (remarks === undefined) return undefined;
  return printable(`${id}: ${describeRemarks(remarks)}; without --as it becomes a host of its own`);
}
