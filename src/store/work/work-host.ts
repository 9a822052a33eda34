import { type SQL, sql } from "drizzle-orm";

/** A host that work is for; the organisation is part of the indexes. */
export interface WorkHost {
  hostId: string;
  organisationId: string;
}

/** Hosts as rows `w(host_id, organisation_id)`. */
export function hostsOf(hosts: readonly WorkHost[]): SQL {
  const hostIds = sql.param(hosts.map(({ hostId }) => hostId));
  const organisationIds = sql.param(hosts.map(({ organisationId }) => organisationId));
  return sql`unnest(${hostIds}::text[], ${organisationIds}::text[]) as w(host_id, organisation_id)`;
}
