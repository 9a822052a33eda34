import { Command } from "commander";
import { deleteAgent } from "../../enrolment/operators/deletion.js";
import type { CommandContext } from "../context.js";
import { forEachId } from "../for-each-id.js";

/** `agent delete`. */
export function agentDeleteCommand(context: CommandContext): Command {
  return new Command("delete")
    .description("delete agents for good, with their hosts, metrics and history; their certificates are revoked")
    .argument("<id...>", "ids of agents")
    .action((ids: string[]) =>
      forEachId(context, ids, "deleted", async (publishing, id) => {
        try {
          const onProgress = (metrics: number) => context.progress?.(`deleting ${id}: ${metrics} metrics so far`);
          return (await deleteAgent(publishing, id, onProgress)).hostname;
        } finally {
          context.progress?.("");
        }
      }),
    );
}
