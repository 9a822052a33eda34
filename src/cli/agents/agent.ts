import { Command, Option } from "commander";
import { rejectAgent, revokeAgent, unrevokeAgent } from "../../enrolment/operators/approval.js";
import { unlockAgent } from "../../enrolment/operators/unlock.js";
import { AGENT_STATUSES, type AgentRow, type AgentStatus, listAgents } from "../../store/agents/agents.js";
import { type AddressRemark, listAddressRemarks } from "../../store/enrolment/address-remarks.js";
import { type AgentPresence, findPresences } from "../../store/sessions/agent-presence.js";
import { readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { forEachId } from "../for-each-id.js";
import { formatTable } from "../terminal/table.js";
import { agentApproveCommand } from "./agent-approve.js";
import { agentDeleteCommand } from "./agent-delete.js";
import { agentShowCommand } from "./agent-show.js";

/** `agent` and the commands below it. */
export function agentCommand(context: CommandContext): Command {
  return new Command("agent")
    .description("agents and their approval")
    .addCommand(listCommand(context))
    .addCommand(agentShowCommand(context))
    .addCommand(agentApproveCommand(context))
    .addCommand(rejectCommand(context))
    .addCommand(revokeCommand(context))
    .addCommand(unrevokeCommand(context))
    .addCommand(unlockCommand(context))
    .addCommand(agentDeleteCommand(context));
}

function listCommand(context: CommandContext): Command {
  return new Command("list")
    .description("list the agents")
    .addOption(new Option("--status <status>", "only those with this status").choices(AGENT_STATUSES))
    .option("--json", "print JSON only")
    .action(async ({ status, json }: { status?: AgentStatus; json?: true }) => {
      const listed = await readDatabase(context, async ({ db }) => {
        const rows = await listAgents(db, status === undefined ? {} : { status });
        const presences = await findPresences(db);
        const remarks = await listAddressRemarks(db);
        return rows.map((row) => toListed(row, presences.get(row.id), remarks.get(row.id)));
      });
      if (json) {
        context.print(JSON.stringify(listed));
        return;
      }
      context.print(
        formatTable(
          ["ID", "HOSTNAME", "STATUS", "VERSION", "OS", "LAST HEARTBEAT", "INSTANCE", "SINCE", "NOTE"],
          listed.map((agent) => [
            agent.id,
            agent.hostname,
            agent.status,
            agent.version ?? "",
            [agent.os, agent.arch].filter(Boolean).join("/"),
            agent.lastHeartbeatAt?.toISOString() ?? "never",
            agent.session?.isHeld ? (agent.session.instanceAddress ?? "") : "",
            agent.session?.isHeld ? agent.session.openedAt.toISOString() : "",
            noteOf(agent),
          ]),
          context.terminal,
        ),
      );
    });
}

function toListed(row: AgentRow, presence: AgentPresence | undefined, sameAddressAs: readonly AddressRemark[] = []) {
  const { id, organisationId, hostname, status, version, os, arch, lastHeartbeatAt, clientCertNotAfter } = row;
  const { session = null, suspectedClone = null } = presence ?? {};
  return {
    ...{ id, organisationId, hostname, status, version, os, arch, lastHeartbeatAt, clientCertNotAfter },
    session,
    suspectedClone,
    sameAddressAs,
  };
}

function noteOf({ suspectedClone, sameAddressAs }: ReturnType<typeof toListed>): string {
  const clone = suspectedClone?.lockedAt ? "suspected clone, locked" : "suspected clone";
  return [
    ...(suspectedClone === null ? [] : [clone]),
    ...sameAddressAs.map(({ hostname }) => `same address as ${hostname}`),
  ].join(", ");
}

function rejectCommand(context: CommandContext): Command {
  return new Command("reject")
    .description("turn pending agents away; where a new key took a host over, the agent's own key is let in again")
    .argument("<id...>", "ids of agents")
    .option("--reason <reason>", "why, for the history", "rejected by an operator")
    .action((ids: string[], { reason }: { reason: string }) =>
      forEachId(
        context,
        ids,
        "rejected",
        async (publishing, id) => (await rejectAgent(publishing, id, reason)).hostname,
      ),
    );
}

function revokeCommand(context: CommandContext): Command {
  return new Command("revoke")
    .description("revoke agents for good, with their client certificates")
    .argument("<id...>", "ids of agents")
    .option("--reason <reason>", "why, for the history", "revoked by an operator")
    .action((ids: string[], { reason }: { reason: string }) =>
      forEachId(
        context,
        ids,
        "revoked",
        async (publishing, id) => (await revokeAgent(publishing, id, reason)).hostname,
      ),
    );
}

function unrevokeCommand(context: CommandContext): Command {
  return new Command("unrevoke")
    .description("take the revocation of agents back: they are pending again")
    .argument("<id...>", "ids of agents")
    .action((ids: string[]) =>
      forEachId(context, ids, "unrevoked", async (publishing, id) => (await unrevokeAgent(publishing, id)).hostname),
    );
}

function unlockCommand(context: CommandContext): Command {
  return new Command("unlock")
    .description("let agents in again that two machines seemed to have the identity of, and forget the suspicion")
    .argument("<id...>", "ids of agents")
    .action((ids: string[]) =>
      forEachId(context, ids, "unlocked", async ({ database }, id) => (await unlockAgent(database, id)).hostname),
    );
}
