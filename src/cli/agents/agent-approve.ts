import { Command } from "commander";
import { describeRemarks } from "../../enrolment/duplicates/same-address.js";
import { approveAgent } from "../../enrolment/operators/approval.js";
import { approveAgentAs } from "../../enrolment/operators/take-over.js";
import { trimPasted } from "../../lib/formats/trim-pasted.js";
import { findAgent } from "../../store/agents/agents.js";
import type { Database } from "../../store/database.js";
import { listAddressRemarks } from "../../store/enrolment/address-remarks.js";
import { listReturnedAgents } from "../../store/enrolment/former-keys.js";
import { readDatabaseClock } from "../../store/inspection.js";
import { readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { type ConsentOptions, requireConsent, withConsentOptions } from "../interaction/consent.js";
import { CommandFailure } from "../interaction/describe-error.js";
import { forEachId } from "../interaction/for-each-id.js";
import { printable } from "../terminal/printable.js";
import { formatAgents, readAgents } from "./agent-list.js";

interface ApproveOptions extends ConsentOptions {
  as?: string;
  hostname?: string;
  token?: string;
  allPending?: true;
  json?: true;
}

/** `agent approve`. */
export function agentApproveCommand(context: CommandContext): Command {
  const command = new Command("approve")
    .description("approve pending agents: their next poll is answered with an identity")
    .argument("[id...]", "ids of agents")
    .option("--hostname <pattern>", "those with such a host name: * stands for any characters, ? for one", trimPasted)
    .option("--token <token>", "those that enrolled with this token: its id or label", trimPasted)
    .option("--all-pending", "all that wait")
    .option(
      "--as <host>",
      "let the agent take over this host, which it has an address in common with: id or hostname",
      trimPasted,
    )
    .option("--json", "print JSON only");
  return withConsentOptions(command).action(async (ids: string[], options: ApproveOptions) => {
    const { as, dryRun, hostname, token, allPending } = options;
    const isChosen = hostname !== undefined || token !== undefined || allPending === true;
    if (ids.length > 0 === isChosen) command.error("error: say which: ids, or --hostname, --token or --all-pending");
    if (as !== undefined && ids.length !== 1) throw new Error("--as is for one agent, named by its id");
    if (!dryRun)
      return approve(context, isChosen ? (database) => chooseAgents(context, database, options) : ids, options);
    return readDatabase(context, async (database) => {
      if (!isChosen) return preview(context, database, ids);
      const chosen = await findChosen(database, options);
      context.print(
        options.json
          ? JSON.stringify(chosen.agents)
          : formatAgents(chosen.agents, { terminal: context.terminal, now: chosen.now }),
      );
    });
  });
}

function approve(
  context: CommandContext,
  ids: Parameters<typeof forEachId>[1],
  { as, json }: ApproveOptions,
): Promise<void> {
  const act = { command: "agent approve", user: context.user };
  return forEachId(context, ids, {
    done: as === undefined ? "approved" : "approved as another host",
    json,
    work: async (publishing, id) => {
      if (as !== undefined) {
        const { id: taken, hostname } = await approveAgentAs(publishing, id, as, act);
        return `${hostname}, agent ${taken} from now on`;
      }
      const remark = await describeRemark(publishing.database, id);
      if (remark !== undefined) context.warn(remark);
      return (await approveAgent(publishing, id, act)).hostname;
    },
  });
}

/** The ids of the pending agents that are chosen, after they were shown and somebody agreed. */
async function chooseAgents(context: CommandContext, database: Database, options: ApproveOptions): Promise<string[]> {
  const { agents, now } = await findChosen(database, options);
  if (agents.length === 0) throw new Error("no pending agent is among them");
  if (!options.json) context.warn(formatAgents(agents, { terminal: context.terminal, now }));
  const question = agents.length === 1 ? "Approve this agent?" : `Approve these ${agents.length} agents?`;
  await requireConsent(context, options, question);
  return agents.map(({ id }) => id);
}

async function findChosen({ db }: Database, { hostname, token }: ApproveOptions) {
  return { agents: await readAgents(db, { status: "pending", hostname, token }), now: await readDatabaseClock(db) };
}

async function preview(context: CommandContext, database: Database, ids: readonly string[]): Promise<void> {
  const problems: string[] = [];
  for (const id of ids) {
    const agent = await findAgent(database.db, id);
    if (agent?.status === "pending") {
      context.print(`would approve ${id} (${printable(agent.hostname)})`);
      const remark = await describeRemark(database, id);
      if (remark !== undefined) context.print(`  ${remark}`);
    } else problems.push(agent === undefined ? `no agent has the id ${id}` : `agent ${id} is ${agent.status}`);
  }
  if (problems.length > 0) throw new CommandFailure(problems);
}

/** What is to be known of an agent before it is approved. */
async function describeRemark({ db }: Database, id: string): Promise<string | undefined> {
  const remarks = (await listAddressRemarks(db, { agentId: id })).get(id) ?? [];
  const deleted = (await listReturnedAgents(db, [id])).get(id);
  const told = [
    ...(deleted === undefined
      ? []
      : [`an agent with the same key was deleted on ${deleted.toISOString().slice(0, 10)}`]),
    ...(remarks.length === 0 ? [] : [`${describeRemarks(remarks)}; without --as it becomes a host of its own`]),
  ];
  return told.length === 0 ? undefined : printable(`${id}: ${told.join("; ")}`);
}
