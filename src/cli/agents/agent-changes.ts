import { Command } from "commander";
import { rejectAgent, revokeAgent, unrevokeAgent } from "../../enrolment/operators/approval.js";
import { unlockAgent } from "../../enrolment/operators/unlock.js";
import type { CommandContext } from "../context.js";
import { forEachId } from "../interaction/for-each-id.js";

/** `agent reject`. */
export function rejectCommand(context: CommandContext): Command {
  const act = { command: "agent reject", user: context.user };
  return change(
    "reject",
    "turn pending agents away; where a new key took a host over, the agent's own key is let in again",
  )
    .option("--reason <reason>", "why, for the history", "rejected by an operator")
    .action((ids: string[], { reason, json }: { reason: string; json?: true }) =>
      forEachId(context, ids, {
        done: "rejected",
        json,
        work: async (publishing, id) => (await rejectAgent(publishing, id, reason, act)).hostname,
      }),
    );
}

/** `agent revoke`. */
export function revokeCommand(context: CommandContext): Command {
  const act = { command: "agent revoke", user: context.user };
  return change("revoke", "revoke agents for good, with their client certificates")
    .option("--reason <reason>", "why, for the history", "revoked by an operator")
    .action((ids: string[], { reason, json }: { reason: string; json?: true }) =>
      forEachId(context, ids, {
        done: "revoked",
        json,
        work: async (publishing, id) => (await revokeAgent(publishing, id, reason, act)).hostname,
      }),
    );
}

/** `agent unrevoke`. */
export function unrevokeCommand(context: CommandContext): Command {
  const act = { command: "agent unrevoke", user: context.user };
  return change("unrevoke", "take the revocation of agents back: they are pending again").action(
    (ids: string[], { json }: { json?: true }) =>
      forEachId(context, ids, {
        done: "unrevoked",
        json,
        work: async (publishing, id) => (await unrevokeAgent(publishing, id, act)).hostname,
      }),
  );
}

/** `agent unlock`. */
export function unlockCommand(context: CommandContext): Command {
  const act = { command: "agent unlock", user: context.user };
  return change(
    "unlock",
    "let agents in again that two machines seemed to have the identity of, and forget the suspicion",
  ).action((ids: string[], { json }: { json?: true }) =>
    forEachId(context, ids, {
      done: "unlocked",
      json,
      work: async ({ database }, id) => (await unlockAgent(database, id, act)).hostname,
    }),
  );
}

function change(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .argument("<id...>", "ids of agents")
    .option("--json", "print JSON only");
}
