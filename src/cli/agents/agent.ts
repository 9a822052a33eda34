import { Command } from "commander";
import type { CommandContext } from "../context.js";
import { agentApproveCommand } from "./agent-approve.js";
import { rejectCommand, revokeCommand, unlockCommand, unrevokeCommand } from "./agent-changes.js";
import { agentDeleteCommand } from "./agent-delete.js";
import { agentListCommand } from "./agent-list.js";
import { agentShowCommand } from "./agent-show.js";
import { agentWatchCommand } from "./agent-watch.js";

/** `agent` and the commands below it. */
export function agentCommand(context: CommandContext): Command {
  return new Command("agent")
    .description("agents and their approval")
    .addCommand(agentListCommand(context))
    .addCommand(agentShowCommand(context))
    .addCommand(agentWatchCommand(context))
    .addCommand(agentApproveCommand(context))
    .addCommand(rejectCommand(context))
    .addCommand(revokeCommand(context))
    .addCommand(unrevokeCommand(context))
    .addCommand(unlockCommand(context))
    .addCommand(agentDeleteCommand(context));
}
