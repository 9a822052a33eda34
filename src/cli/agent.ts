import { Command, Option } from "commander";
import { approveAgent, revokeAgent, unrevokeAgent } from "../enrolment/approval.js";
import { AGENT_STATUSES, type AgentRow, type AgentStatus, listAgents } from "../store/agents.js";
import { withDatabase } from "./command-database.js";
import type { CommandContext } from "./context.js";
import { formatTable } from "./table.js";

/** `agent list`, `agent approve`, `agent revoke` and `agent unrevoke`. */
export function agentCommand(context: CommandContext): Command {
  return new Command("agent")
    .description("agents and their approval")
    .addCommand(listCommand(context))
    .addCommand(approveCommand(context))
    .addCommand(revokeCommand(context))
    .addCommand(unrevokeCommand(context));
}

function listCommand(context: CommandContext): Command {
  return new Command("list")
    .description("list the agents")
    .addOption(new Option("--status <status>", "only those with this status").choices(AGENT_STATUSES))
    .option("--json", "print JSON only")
    .action(async ({ status, json }: { status?: AgentStatus; json?: true }) => {
      const rows = await withDatabase(context, ({ db }) => listAgents(db, status === undefined ? {} : { status }));
      const listed = rows.map(toListed);
      if (json) {
        context.print(JSON.stringify(listed));
        return;
      }
      context.print(
        formatTable(
          ["ID", "HOSTNAME", "STATUS", "VERSION", "OS", "LAST HEARTBEAT"],
          listed.map((agent) => [
            agent.id,
            agent.hostname,
            agent.status,
            agent.version ?? "",
            [agent.os, agent.arch].filter(Boolean).join("/"),
            agent.lastHeartbeatAt?.toISOString() ?? "never",
          ]),
        ),
      );
    });
}

function toListed(row: AgentRow) {
  const { id, organisationId, hostname, status, version, os, arch, lastHeartbeatAt, clientCertNotAfter } = row;
  return { id, organisationId, hostname, status, version, os, arch, lastHeartbeatAt, clientCertNotAfter };
}

function approveCommand(context: CommandContext): Command {
  return new Command("approve")
    .description("approve pending agents: their next poll is answered with an identity")
    .argument("<id...>", "ids of agents")
    .action((ids: string[]) => forEachAgent(context, ids, "approved", (database, id) => approveAgent(database, id)));
}

function revokeCommand(context: CommandContext): Command {
  return new Command("revoke")
    .description("revoke agents and their client certificates")
    .argument("<id...>", "ids of agents")
    .option("--reason <reason>", "why, for the history", "revoked by an operator")
    .action((ids: string[], { reason }: { reason: string }) =>
      forEachAgent(context, ids, "revoked", (database, id) => revokeAgent(database, id, reason)),
    );
}

function unrevokeCommand(context: CommandContext): Command {
  return new Command("unrevoke")
    .description("take the revocation of agents back: they are pending again")
    .argument("<id...>", "ids of agents")
    .action((ids: string[]) => forEachAgent(context, ids, "unrevoked", (database, id) => unrevokeAgent(database, id)));
}

/** Does what can be done, and then fails with a line for each that could not. */
async function forEachAgent(
  context: CommandContext,
  ids: readonly string[],
  done: string,
  work: (database: Parameters<typeof approveAgent>[0], id: string) => Promise<AgentRow>,
): Promise<void> {
  const problems: string[] = [];
  await withDatabase(context, async (database) => {
    for (const id of ids) {
      try {
        const { hostname } = await work(database, id);
        context.print(`${done} ${id} (${hostname})`);
      } catch (error) {
        problems.push(error instanceof Error ? error.message : String(error));
      }
    }
  });
  if (problems.length > 0) throw new Error(problems.join("\n"));
}
