import { Command } from "commander";
import { type AgentCaOverview, describeAgentCas } from "../../identity/agent-ca/agent-ca-overview.js";
import { requireRetirableCa, retireAgentCa, rotateAgentCa } from "../../identity/agent-ca/agent-ca-rotation.js";
import { changeDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { type ConsentOptions, requireConsent, withConsentOptions } from "../interaction/consent.js";
import { type ShowOptions, show, withShowOptions } from "../interaction/show.js";
import { optional } from "../terminal/column.js";
import type { Layout } from "../terminal/layout.js";
import { printable } from "../terminal/printable.js";
import { formatTable } from "../terminal/table.js";

/** `ca list`, `ca rotate` and `ca retire`. */
export function caCommand(context: CommandContext): Command {
  return new Command("ca")
    .description("the CAs that sign the certificates of agents")
    .addCommand(listCommand(context))
    .addCommand(rotateCommand(context))
    .addCommand(retireCommand(context));
}

function listCommand(context: CommandContext): Command {
  const command = new Command("list").description("list the agent CAs, and how many agents have a certificate of each");
  return withShowOptions(command).action((options: ShowOptions) =>
    show(context, options, {
      read: async ({ db }, { encryptionSecret, agentCaFile }) => {
        context.progress?.("counting certificates");
        try {
          return await describeAgentCas(db, { encryptionSecret, agentCaFile });
        } finally {
          context.progress?.("");
        }
      },
      toText: formatCas,
      toJson: (cas) => cas.map(toListed),
    }),
  );
}

function formatCas(cas: readonly AgentCaOverview[], layout: Layout): string {
  const table = formatTable(
    ["ID", "STATE", optional("SOURCE"), optional("FINGERPRINT"), "EXPIRES", "AGENTS", "LAST ONE UNTIL"],
    cas.map((ca) => [
      ca.id,
      ca.state,
      ca.source,
      ca.fingerprintSha256.slice(0, 16),
      day(ca.notAfter),
      String(ca.agents),
      ca.dependedOnUntil === undefined ? "" : day(ca.dependedOnUntil),
    ]),
    layout,
  );
  const problems = cas.flatMap(({ problem }) => (problem === undefined ? [] : ["", printable(problem)]));
  return [table, ...problems, ...summarise(cas)].join("\n");
}

/** How far a rotation has come. */
function summarise(cas: readonly AgentCaOverview[]): string[] {
  const left = cas.filter(({ state, agents }) => state !== "signs" && agents > 0);
  if (left.length === 0) return [];
  const moved = cas.find(({ state }) => state === "signs")?.agents ?? 0;
  const count = left.reduce((sum, { agents }) => sum + agents, 0);
  const until = left.map(({ dependedOnUntil }) => dependedOnUntil?.getTime() ?? 0).reduce((a, b) => Math.max(a, b));
  return [
    "",
    `${moved} of ${moved + count} agents have moved to the CA that signs, ${count} are left until ${day(new Date(until))}`,
  ];
}

function toListed(ca: AgentCaOverview) {
  const { id, state, problem, source, fingerprintSha256, createdAt, notAfter, agents, dependedOnUntil } = ca;
  return { id, state, problem, source, fingerprintSha256, createdAt, notAfter, agents, dependedOnUntil };
}

function rotateCommand(context: CommandContext): Command {
  return new Command("rotate")
    .description("make a new CA that signs from now on; certificates of the old one stay good")
    .option("--force", "also when the encryption secret does not open the current CA's key")
    .option("--json", "print JSON only")
    .action(async ({ force = false, json }: { force?: boolean; json?: true }) => {
      const ca = await changeDatabase(context, async (database, { agentCaFile, encryptionSecret: secret }) => {
        if (agentCaFile !== undefined) {
          throw new Error(
            `the service signs with your own CA in ${agentCaFile}: replace the files INGEST_AGENT_CA_CERT and INGEST_AGENT_CA_KEY name`,
          );
        }
        if (secret === undefined) {
          throw new Error(
            "set LDAP_ENCRYPTION_KEY or BETTER_AUTH_SECRET as the service has it: it encrypts the new CA's key",
          );
        }
        return rotateAgentCa(database, { secret, force });
      });
      const { fingerprintSha256, notAfter } = ca;
      context.print(
        json
          ? JSON.stringify({ fingerprintSha256, notAfter })
          : `agent CA ${fingerprintSha256.slice(0, 16)} signs from now on, until ${day(notAfter)}`,
      );
      context.warn("Agents move to it by themselves; `ca list` shows how many are left.");
    });
}

function retireCommand(context: CommandContext): Command {
  const command = new Command("retire")
    .description("stop trusting a CA before it expires")
    .argument("<id>", "id of the CA")
    .option("--force", "also while agents depend on it: their streams end, and they register again")
    .option("--json", "print JSON only");
  return withConsentOptions(command).action((id: string, options: RetireOptions) =>
    changeDatabase(context, async (database, { encryptionSecret, agentCaFile }) => {
      const { force = false, dryRun, json } = options;
      const retirement = { force, encryptionSecret, agentCaFile };
      const { agents } = await requireRetirableCa(database.db, id, retirement);
      const dependants = `${agents} agents depend on agent CA ${id}`;
      if (dryRun) return context.print(json ? JSON.stringify({ id, agents }) : `would retire ${id}: ${dependants}`);
      if (!json) context.print(dependants);
      if (agents > 0) await requireConsent(context, options, `Retire agent CA ${id}, and cut off ${agents} agents?`);
      await retireAgentCa(database, id, retirement);
      context.print(
        json ? JSON.stringify({ id, state: "retired", agents }) : `retired ${id}: its certificates are refused`,
      );
    }),
  );
}

interface RetireOptions extends ConsentOptions {
  force?: boolean;
  json?: true;
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
