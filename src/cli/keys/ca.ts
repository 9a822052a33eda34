import { Command } from "commander";
import { type AgentCaOverview, describeAgentCas } from "../../identity/agent-ca/agent-ca-overview.js";
import { retireAgentCa, rotateAgentCa } from "../../identity/agent-ca/agent-ca-rotation.js";
import { changeDatabase, readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
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
  return new Command("list")
    .description("list the agent CAs, and how many agents have a certificate of each")
    .option("--json", "print JSON only")
    .action(async ({ json }: { json?: true }) => {
      context.progress?.("counting certificates");
      const cas = await readDatabase(context, ({ db }) => describeAgentCas(db));
      context.progress?.("");
      if (json) {
        context.print(JSON.stringify(cas.map(toListed)));
        return;
      }
      context.print(
        formatTable(
          ["ID", "STATE", "SOURCE", "FINGERPRINT", "EXPIRES", "AGENTS", "LAST ONE UNTIL"],
          cas.map((ca) => [
            ca.id,
            ca.state,
            ca.source,
            ca.fingerprintSha256.slice(0, 16),
            day(ca.notAfter),
            String(ca.agents),
            ca.dependedOnUntil === undefined ? "" : day(ca.dependedOnUntil),
          ]),
          context.terminal,
        ),
      );
      for (const line of summarise(cas)) context.print(line);
    });
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
  const { id, state, source, fingerprintSha256, createdAt, notAfter, agents, dependedOnUntil } = ca;
  return { id, state, source, fingerprintSha256, createdAt, notAfter, agents, dependedOnUntil };
}

function rotateCommand(context: CommandContext): Command {
  return new Command("rotate")
    .description("make a new CA that signs from now on; certificates of the old one stay good")
    .option("--force", "also when the encryption secret does not open the current CA's key")
    .action(async ({ force = false }: { force?: boolean }) => {
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
      context.print(`agent CA ${ca.fingerprintSha256.slice(0, 16)} signs from now on, until ${day(ca.notAfter)}`);
      context.warn("Agents move to it by themselves; `ca list` shows how many are left.");
    });
}

function retireCommand(context: CommandContext): Command {
  return new Command("retire")
    .description("stop trusting a CA before it expires")
    .argument("<id>", "id of the CA")
    .option("--force", "also while agents depend on it: their streams end, and they register again")
    .action(async (id: string, { force = false }: { force?: boolean }) => {
      const onDependants = ({ agents }: AgentCaOverview) => context.print(`${agents} agents depend on agent CA ${id}`);
      await changeDatabase(context, (database) => retireAgentCa(database, id, { force, onDependants }));
      context.print(`retired ${id}: its certificates are refused`);
    });
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
