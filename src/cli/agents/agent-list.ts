import { Command } from "commander";
import { type AgentFilter, findKnownNames, type ListedAgent, listAgents } from "../../store/agents/agent-list.js";
import type { Queryable } from "../../store/database.js";
import { type AddressRemark, listAddressRemarks } from "../../store/enrolment/address-remarks.js";
import { listReturnedAgents } from "../../store/enrolment/former-keys.js";
import { type AgentPresence, findPresences } from "../../store/sessions/agent-presence.js";
import type { CommandContext } from "../context.js";
import { type ShowOptions, show, withShowOptions } from "../interaction/show.js";
import { names, optional, sentences } from "../terminal/column.js";
import type { Layout } from "../terminal/layout.js";
import { formatTable } from "../terminal/table.js";
import { type FilterOptions, toFilter, withFilterOptions } from "./agent-filter.js";

/** `agent list`. */
export function agentListCommand(context: CommandContext): Command {
  const command = new Command("list").description("list the agents");
  return withShowOptions(withFilterOptions(command)).action((options: FilterOptions & ShowOptions) =>
    show(context, options, { read: ({ db }) => readAgents(db, toFilter(options)), toText: formatAgents }),
  );
}

/** An agent, and what an operator is to know of it. */
export type AgentOverview = ListedAgent &
  Pick<AgentPresence, "suspectedClone"> & {
    session: AgentPresence["session"] | null;
    sameAddressAs: readonly AddressRemark[];
    /** It waits for approval, and an agent with the same key was deleted at this time. */
    deletedBefore?: Date;
  };

/**
 * Reads the agents that a filter chooses.
 *
 * @throws when it names an organisation or a token that is not there
 */
export async function readAgents(db: Queryable, filter: AgentFilter): Promise<AgentOverview[]> {
  const rows = await listAgents(db, filter);
  if (rows.length === 0) await requireKnownNames(db, filter);
  const ids = rows.map(({ id }) => id);
  const presences = await findPresences(db, ids);
  const returned = await listReturnedAgents(db, ids);
  const remarks = await listAddressRemarks(db);
  return rows.map((row) => {
    const { session = null, suspectedClone = null } = presences.get(row.id) ?? {};
    const deletedBefore = returned.get(row.id);
    const sameAddressAs = remarks.get(row.id) ?? [];
    return { ...row, session, suspectedClone, sameAddressAs, ...(deletedBefore && { deletedBefore }) };
  });
}

async function requireKnownNames(db: Queryable, filter: AgentFilter): Promise<void> {
  const { organisation, token } = await findKnownNames(db, filter);
  if (!organisation) {
    throw new Error(`no organisation has the slug or id ${filter.organisation}: \`org list\` shows them`);
  }
  if (!token) throw new Error(`no enrolment token has the id or label ${filter.token}: \`token list\` shows them`);
}

/** The same for people. */
export function formatAgents(agents: readonly AgentOverview[], layout: Layout): string {
  return formatTable(
    [
      "ID",
      names("HOSTNAME"),
      "STATUS",
      optional("VERSION"),
      optional("OS"),
      "LAST HEARTBEAT",
      optional(names("INSTANCE")),
      optional("SINCE"),
      sentences("NOTE"),
    ],
    agents.map((agent) => [
      agent.id,
      agent.hostname,
      agent.status,
      agent.version ?? "",
      [agent.os, agent.arch].filter(Boolean).join("/"),
      agent.lastHeartbeatAt ?? "never",
      agent.session?.isHeld ? (agent.session.instanceAddress ?? "") : "",
      agent.session?.isHeld ? agent.session.openedAt : "",
      noteOf(agent),
    ]),
    layout,
  );
}

function noteOf({ suspectedClone, sameAddressAs, deletedBefore }: AgentOverview): string {
  const clone = suspectedClone?.lockedAt ? "suspected clone, locked" : "suspected clone";
  return [
    ...(suspectedClone === null ? [] : [clone]),
    ...(deletedBefore === undefined ? [] : ["was deleted before"]),
    ...sameAddressAs.map(({ hostname }) => `same address as ${hostname}`),
  ].join(", ");
}
