import { Command, InvalidArgumentError } from "commander";
import { issueEnrolmentToken } from "../../enrolment/tokens/token-issue.js";
import { revokeToken } from "../../enrolment/tokens/token-revocation.js";
import type { Tag } from "../../store/hosts/tags.js";
import { changePublishingDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { forEachId } from "../for-each-id.js";
import { readDurationMs } from "../terminal/duration.js";
import { tokenListCommand } from "./token-list.js";

interface CreateOptions {
  label: string;
  org?: string;
  autoApprove?: true;
  maxUses?: number;
  expiresIn?: number;
  tag: Tag[];
  json?: true;
}

/** `token create`, `token list` and `token revoke`. */
export function tokenCommand(context: CommandContext): Command {
  return new Command("token")
    .description("enrolment tokens")
    .addCommand(createCommand(context))
    .addCommand(tokenListCommand(context))
    .addCommand(revokeCommand(context));
}

function createCommand(context: CommandContext): Command {
  return new Command("create")
    .description("make an enrolment token; it is shown once")
    .requiredOption("--label <label>", "what it is for")
    .option("--org <slug>", "the organisation; may be left out where there is only one")
    .option("--auto-approve", "agents that enrol with it need no approval")
    .option("--max-uses <n>", "how many agents may enrol with it", parsePositiveInteger)
    .option("--expires-in <duration>", "how long it can be used, for example 30d", readDurationMs)
    .option("--tag <key=value>", "a tag for its hosts; can be repeated", collectTag, [])
    .option("--json", "print JSON only")
    .action(async (options: CreateOptions) => {
      const { label, org, autoApprove = false, maxUses, expiresIn, tag, json } = options;
      const { token, row } = await changePublishingDatabase(context, (publishing) =>
        issueEnrolmentToken(publishing, {
          label,
          autoApprove,
          tags: tag,
          ...(org !== undefined && { organisationSlug: org }),
          ...(maxUses !== undefined && { maxUses }),
          ...(expiresIn !== undefined && { lifetimeMs: expiresIn }),
        }),
      );
      if (json) {
        const { id, organisationId, maxUses, expiresAt } = row;
        context.print(JSON.stringify({ id, token, organisationId, label, autoApprove, maxUses, expiresAt }));
        return;
      }
      context.print(token);
      context.warn("This token is shown once; the database keeps only its hash.");
    });
}

function revokeCommand(context: CommandContext): Command {
  return new Command("revoke")
    .description("take enrolment tokens out of use; agents that enrolled with them stay")
    .argument("<id...>", "ids of tokens, as `token list` shows them")
    .action((ids: string[]) => forEachId(context, ids, "revoked", revokeToken));
}

function parsePositiveInteger(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > 2_147_483_647) {
    throw new InvalidArgumentError("expected a whole number from 1");
  }
  return number;
}

function collectTag(text: string, tags: Tag[]): Tag[] {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) throw new InvalidArgumentError("expected key=value");
  return [...tags, { key, value }];
}
