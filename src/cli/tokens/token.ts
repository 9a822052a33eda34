import { Command, InvalidArgumentError } from "commander";
import { issueEnrolmentToken } from "../../enrolment/tokens/token-issue.js";
import { revokeToken } from "../../enrolment/tokens/token-revocation.js";
import { trimPasted } from "../../lib/formats/trim-pasted.js";
import type { Tag } from "../../store/hosts/tags.js";
import { changePublishingDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { forEachId } from "../interaction/for-each-id.js";
import { readDurationMs } from "../terminal/duration.js";
import { tokenListCommand } from "./token-list.js";

const MAX_LABEL_LENGTH = 255;
const MAX_LIFETIME_MS = 36_525 * 24 * 60 * 60 * 1000;

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
    .requiredOption("--label <label>", "what it is for", parseLabel)
    .option("--org <slug>", "the organisation; may be left out where there is only one", trimPasted)
    .option("--auto-approve", "agents that enrol with it need no approval")
    .option("--max-uses <n>", "how many agents may enrol with it", parsePositiveInteger)
    .option("--expires-in <duration>", "how long it can be used, for example 30d", readLifetimeMs)
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
    .option("--json", "print JSON only")
    .action((ids: string[], { json }: { json?: true }) =>
      forEachId(context, ids, { done: "revoked", json, work: revokeToken }),
    );
}

function parseLabel(text: string): string {
  const label = text.trim();
  if (label === "" || label.length > MAX_LABEL_LENGTH) {
    throw new InvalidArgumentError(`expected 1 to ${MAX_LABEL_LENGTH} characters`);
  }
  return label;
}

/** PostgreSQL knows no time as far away as nine digits of days; a token without an end is made by leaving the option out. */
function readLifetimeMs(text: string): number {
  const lifetimeMs = readDurationMs(text);
  if (lifetimeMs > MAX_LIFETIME_MS) {
    throw new InvalidArgumentError(
      "expected a hundred years (36525d) at most; leave it out for a token without an end",
    );
  }
  return lifetimeMs;
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
