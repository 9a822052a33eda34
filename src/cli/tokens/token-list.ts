import { Command } from "commander";
import { readTags } from "../../enrolment/tags.js";
import { type EnrolmentTokenSummary, listEnrolmentTokens } from "../../store/enrolment/enrolment-tokens.js";
import { readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { formatTable } from "../terminal/table.js";

/** `token list`. */
export function tokenListCommand(context: CommandContext): Command {
  return new Command("list")
    .description("list the enrolment tokens that were not revoked; the tokens themselves are never shown")
    .option("--json", "print JSON only")
    .action(async ({ json }: { json?: true }) => {
      const rows = await readDatabase(context, ({ db }) => listEnrolmentTokens(db));
      const listed = rows.map(({ metadata, ...row }) => ({ ...row, tags: readTags(metadata?.tags) }));
      if (json) {
        context.print(JSON.stringify(listed));
        return;
      }
      context.print(
        formatTable(
          ["ID", "LABEL", "ORG", "STATUS", "APPROVES", "USES", "EXPIRES", "TAGS"],
          listed.map((token) => [
            token.id,
            token.label,
            token.organisation,
            token.status,
            token.autoApprove ? "by itself" : "no",
            uses(token),
            token.expiresAt?.toISOString() ?? "never",
            token.tags.map(({ key, value }) => `${key}=${value}`).join(" "),
          ]),
          context.terminal,
        ),
      );
    });
}

function uses({ usageCount, maxUses }: Pick<EnrolmentTokenSummary, "usageCount" | "maxUses">): string {
  return maxUses === null ? String(usageCount) : `${usageCount}/${maxUses}`;
}
