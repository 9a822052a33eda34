import { Command, InvalidArgumentError } from "commander";
import { insertOrganisation, listOrganisations, type OrganisationRow } from "../../store/enrolment/organisations.js";
import { changeDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { type ShowOptions, show, withShowOptions } from "../interaction/show.js";
import { sentences } from "../terminal/column.js";
import type { Layout } from "../terminal/layout.js";
import { formatTable } from "../terminal/table.js";

const MAX_NAME_LENGTH = 255;
const MAX_SLUG_LENGTH = 63;

/** `org list` and `org create`. */
export function orgCommand(context: CommandContext): Command {
  return new Command("org")
    .description("organisations")
    .addCommand(listCommand(context))
    .addCommand(createCommand(context));
}

function listCommand(context: CommandContext): Command {
  return withShowOptions(new Command("list").description("list the organisations")).action((options: ShowOptions) =>
    show(context, options, {
      read: async ({ db }) => (await listOrganisations(db)).map(toListed),
      toText: formatOrganisations,
    }),
  );
}

function formatOrganisations(listed: readonly ReturnType<typeof toListed>[], layout: Layout): string {
  return formatTable(
    ["ID", "SLUG", sentences("NAME"), "CREATED"],
    listed.map(({ id, slug, name, createdAt }) => [id, slug, name, createdAt]),
    layout,
  );
}

function createCommand(context: CommandContext): Command {
  return new Command("create")
    .description("make an organisation")
    .argument("<name>", "what it is called", parseName)
    .option("--slug <slug>", "its short name, for --org; made of the name unless given", parseSlug)
    .option("--json", "print JSON only")
    .action(async (name: string, options: { slug?: string; json?: true }) => {
      const slug = options.slug ?? slugOf(name);
      const row = await changeDatabase(context, ({ db }) => insertOrganisation(db, { name, slug }));
      if (row === undefined) throw new Error(`there is, or was, an organisation with the slug ${slug}: choose another`);
      context.print(options.json ? JSON.stringify(toListed(row)) : `made ${row.id} (${slug})`);
    });
}

function toListed({ id, slug, name, createdAt }: OrganisationRow) {
  return { id, slug, name, createdAt };
}

function parseName(text: string): string {
  const name = text.trim();
  if (name === "" || name.length > MAX_NAME_LENGTH) {
    throw new InvalidArgumentError(`expected 1 to ${MAX_NAME_LENGTH} characters`);
  }
  return name;
}

function parseSlug(text: string): string {
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(text) || text.length > MAX_SLUG_LENGTH) {
    throw new InvalidArgumentError(`expected lower-case letters, digits and single hyphens, up to ${MAX_SLUG_LENGTH}`);
  }
  return text;
}

/** `Café & Söhne` → `cafe-sohne`. */
function slugOf(name: string): string {
  const slug = name
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_SLUG_LENGTH)
    .replace(/^-+|-+$/g, "");
  if (slug === "") throw new Error("no slug can be made of this name: give one with --slug");
  return slug;
}
