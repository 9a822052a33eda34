import { Command } from "commander";
import { deleteAgent } from "../../enrolment/operators/deletion.js";
import { findAgentOrDeleted } from "../../store/agents/agents.js";
import type { Database, Queryable } from "../../store/database.js";
import { readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { type ConsentOptions, requireConsent, withConsentOptions } from "../interaction/consent.js";
import { CommandFailure } from "../interaction/describe-error.js";
import { forEachId } from "../interaction/for-each-id.js";
import { printable } from "../terminal/printable.js";

/** `agent delete`. */
export function agentDeleteCommand(context: CommandContext): Command {
  const command = new Command("delete")
    .description("delete agents for good, with their hosts, metrics and history; their certificates are revoked")
    .argument("<id...>", "ids of agents")
    .option("--json", "print JSON only");
  return withConsentOptions(command).action((ids: string[], options: ConsentOptions & { json?: true }) => {
    if (options.dryRun) {
      return readDatabase(context, async ({ db }) => {
        const doomed = await findDoomed(db, ids);
        if (options.json) context.print(JSON.stringify(doomed));
        else for (const line of doomed.map(describe)) context.print(line);
      });
    }
    const choose = async ({ db }: Database) => {
      if (options.yes) return ids;
      for (const line of (await findDoomed(db, ids)).map(describe)) context.warn(line);
      const question = ids.length === 1 ? "Delete this agent for good?" : `Delete these ${ids.length} agents for good?`;
      await requireConsent(context, options, question);
      return ids;
    };
    const act = { command: "agent delete", user: context.user };
    return forEachId(context, choose, {
      done: "deleted",
      json: options.json,
      work: async (publishing, id) => {
        try {
          const onProgress = (metrics: number) => context.progress?.(`deleting ${id}: ${metrics} metrics so far`);
          return (await deleteAgent(publishing, id, onProgress, act)).hostname;
        } finally {
          context.progress?.("");
        }
      },
    });
  });
}

interface DoomedAgent {
  id: string;
  hostname: string;
  status: string;
}

/** @throws CommandFailure when one of them does not exist */
async function findDoomed(db: Queryable, ids: readonly string[]): Promise<DoomedAgent[]> {
  const found: DoomedAgent[] = [];
  const problems: string[] = [];
  for (const id of ids) {
    const agent = await findAgentOrDeleted(db, id);
    if (agent === undefined) problems.push(`no agent has the id ${id}`);
    else found.push({ id, hostname: agent.hostname, status: agent.status });
  }
  if (problems.length > 0) throw new CommandFailure(problems);
  return found;
}

function describe({ id, hostname, status }: DoomedAgent): string {
  return `would delete ${id} (${printable(hostname)}, ${status})`;
}
