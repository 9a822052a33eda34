import { Command } from "commander";
import { readTags } from "../../enrolment/tags.js";
import type { Queryable } from "../../store/database.js";
import { type EnrolmentTokenSummary, listEnrolmentTokens } from "../../store/enrolment/enrolment-tokens.js";
import type { CommandContext } from "../context.js";
import { type ShowOptions, show, withShowOptions } from "../interaction/show.js";
import { names, optional, sentences } from "../terminal/column.js";
import type { Layout } from "../terminal/layout.js";
import { formatTable } from "../terminal/table.js";

/** `token list`. */
export function tokenListCommand(context: CommandContext): Command {
  const command = new Command("list").description(
    "list the enrolment tokens that were not revoked; the tokens themselves are never shown",
  );
  return withShowOptions(command).action((options: ShowOptions) =>
    show(context, options, { read: ({ db }) => readTokens(db), toText: formatTokens }),
  );
}

async function readTokens(db: Queryable) {
  const rows = await listEnrolmentTokens(db);
  return rows.map(({ metadata, ...row }) => ({ ...row, tags: readTags(metadata?.tags) }));
}

function formatTokens(tokens: Awaited<ReturnType<typeof readTokens>>, layout: Layout): string {
  return formatTable(
    [
      "ID",
      sentences("LABEL"),
      optional(names("ORG")),
      "STATUS",
      optional("APPROVES"),
      "USES",
      "EXPIRES",
      optional(sentences("TAGS")),
    ],
    tokens.map((token) => [
      token.id,
      token.label,
      token.organisation,
      token.status,
      token.autoApprove ? "by itself" : "no",
      uses(token),
      token.expiresAt ?? "never",
      token.tags.map(({ key, value }) => `${key}=${value}`).join(" "),
    ]),
    layout,
  );
}

function uses({ usageCount, maxUses }: Pick<EnrolmentTokenSummary, "usageCount" | "maxUses">): string {
  return maxUses === null ? String(usageCount) : `${usageCount}/${maxUses}`;
}
