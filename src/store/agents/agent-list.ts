import { and, asc, eq, getTableColumns, gt, isNull, lte, or, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { agentEnrolmentTokens, agents, organisations } from "../schema/platform/index.js";
import type { AgentStatus } from "./agents.js";

/** Which agents are listed; all of what is given has to be so. */
export interface AgentFilter {
  status?: AgentStatus | undefined;
  /** A host name in which `*` stands for any characters, and `?` for one; whatever its case. */
  hostname?: string | undefined;
  /** Id or slug of the organisation. */
  organisation?: string | undefined;
  /** Id or label of the enrolment token that they enrolled with. */
  token?: string | undefined;
  /** The last heartbeat is no older than this, in milliseconds. */
  heardWithinMs?: number | undefined;
  /** The last heartbeat is older than this, in milliseconds, or there was none. */
  silentForMs?: number | undefined;
}

/** An agent as it is listed. */
export type ListedAgent = Awaited<ReturnType<typeof listAgents>>[number];

/** The agents that are not deleted, by hostname. */
export async function listAgents(db: Queryable, filter: AgentFilter = {}) {
  const { id, organisationId, hostname, status, version, os, arch, lastHeartbeatAt, clientCertNotAfter } =
    getTableColumns(agents);
  const { hostname: glob, organisation, token, heardWithinMs, silentForMs } = filter;
  const ago = (ms: number) => sql`now() - make_interval(secs => ${ms / 1000})`;
  return db
    .select({ id, organisationId, hostname, status, version, os, arch, lastHeartbeatAt, clientCertNotAfter })
    .from(agents)
    .innerJoin(organisations, eq(organisations.id, organisationId))
    .leftJoin(agentEnrolmentTokens, eq(agentEnrolmentTokens.id, agents.enrolmentTokenId))
    .where(
      and(
        isNull(agents.deletedAt),
        filter.status && eq(status, filter.status),
        glob === undefined ? undefined : sql`${hostname} ~ ${toPattern(glob)}`,
        organisation === undefined
          ? undefined
          : or(eq(organisations.id, organisation), eq(organisations.slug, organisation)),
        token === undefined ? undefined : or(eq(agentEnrolmentTokens.id, token), eq(agentEnrolmentTokens.label, token)),
        heardWithinMs === undefined ? undefined : gt(lastHeartbeatAt, ago(heardWithinMs)),
        silentForMs === undefined ? undefined : or(isNull(lastHeartbeatAt), lte(lastHeartbeatAt, ago(silentForMs))),
      ),
    )
    .orderBy(asc(hostname), asc(id));
}

/**
 * Whether what a filter names is in the database, also where it is deleted: agents that enrolled with a token that is deleted
 * stay. What it does not name counts as known.
 */
export async function findKnownNames(
  db: Queryable,
  { organisation, token }: AgentFilter,
): Promise<{ organisation: boolean; token: boolean }> {
  const { rows } = await db.execute<{ organisation: boolean; token: boolean }>(sql`
    select ${organisation ?? null}::text is null
             or exists (select from ${organisations} where ${organisation ?? null} in (id, slug)) as organisation,
           ${token ?? null}::text is null
             or exists (select from ${agentEnrolmentTokens} where ${token ?? null} in (id, label)) as token`);
  return rows[0] ?? { organisation: true, token: true };
}

/** A glob as a regular expression. Both cases of a letter are named: `ilike` folds only what the database's locale knows. */
function toPattern(glob: string): string {
  const parts = [...glob].map((letter) => {
    if (letter === "*") return ".*";
    if (letter === "?") return ".";
    const [lower, upper] = [letter.toLowerCase(), letter.toUpperCase()];
    return lower === upper ? letter.replace(/[^\p{L}\p{N}]/u, "\\$&") : `[${lower}${upper}]`;
  });
  return `^${parts.join("")}$`;
}
