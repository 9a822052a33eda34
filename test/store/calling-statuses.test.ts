import { sql } from "drizzle-orm";
import t from "tap";
import { isCallingStatus, mayCall } from "../../dist/store/agents/calling-statuses.js";
import { openDatabase } from "../../dist/store/database.js";
import { createTestDatabase } from "../support/database/database.js";

t.test("a status may call or not, to the code as to SQL, whatever the column's type", async (t) => {
  const { url, query } = await createTestDatabase(t);
  const { db, close } = openDatabase({ url, maxConnections: 1 });
  t.teardown(close);
  await query("create type agent_status as enum ('pending', 'active', 'offline', 'revoked')");
  const expected = { pending: false, active: true, offline: true, revoked: false };
  for (const [status, may] of Object.entries(expected)) {
    t.equal(mayCall(status), may, status);
    for (const type of ["text", "agent_status"]) {
      const { rows } = await db.execute<{ may: boolean }>(
        sql`select ${isCallingStatus(sql.raw("s"))} as may from (select '${sql.raw(status)}'::${sql.raw(type)} as s) x`,
      );
      t.equal(rows[0]?.may, may, `${status} as ${type}`);
    }
  }
});
