import { sql } from "drizzle-orm";
import t from "tap";
import { lockInTransaction } from "../../dist/store/advisory-locks.js";
import { lockAgentForDeletion, lockHostsForDeletion } from "../../dist/store/agents/agent-deletion.js";
import { type Database, openDatabase } from "../../dist/store/database.js";
import { takeTokenUses } from "../../dist/store/enrolment/enrolment-tokens.js";
import { takeRegistrationLocks, tryRegistrationLocks } from "../../dist/store/enrolment/registration-locks.js";
import { lockHostNow, lockHostSoon } from "../../dist/store/hosts/hosts.js";
import { lockHostsAndAgents } from "../../dist/store/hosts/row-locks.js";
import { limitLockWaits } from "../../dist/store/transaction.js";
import { createTestDatabase } from "../support/database/database.js";

/** Never called: that it compiles, each line with its error, is the test. */
export function lockOutsideOfATransaction({ db }: Database) {
  return [
    // @ts-expect-error: a lock outside of a transaction would be gone with the statement that took it
    lockInTransaction(db, "name"),
    // @ts-expect-error
    takeRegistrationLocks(db, []),
    // @ts-expect-error
    tryRegistrationLocks(db, []),
    // @ts-expect-error
    lockHostsAndAgents(db, []),
    // @ts-expect-error
    lockHostNow(db, "host", "agent"),
    // @ts-expect-error
    lockHostSoon(db, "host", "agent"),
    // @ts-expect-error
    lockHostsForDeletion(db, "agent"),
    // @ts-expect-error
    lockAgentForDeletion(db, "agent"),
    // @ts-expect-error
    takeTokenUses(db, new Map()),
    // @ts-expect-error
    limitLockWaits(db, 100),
  ];
}

t.test("a lock is held until its transaction ends, and does not compile outside of one", async (t) => {
  const { url, query } = await createTestDatabase(t);
  const database = openDatabase({ url });
  t.teardown(() => database.close());
  const locks = () =>
    query(
      `select from pg_locks
       where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
    );
  await database.transaction(async (tx) => {
    await lockInTransaction(tx, "name");
    await tx.execute(sql`select 1`);
    t.equal((await locks()).length, 1);
  });
  t.equal((await locks()).length, 0);
});
