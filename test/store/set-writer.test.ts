import { sql } from "drizzle-orm";
import pg from "pg";
import t from "tap";
import { IngestError } from "../../dist/errors.js";
import { openDatabase } from "../../dist/store/database.js";
import { SetWriter } from "../../dist/store/sets/set-writer.js";
import { createEmptyDatabase } from "../support/database/database.js";

/** What PostgreSQL answers with. */
function databaseError(code: string): Error {
  const cause = new pg.DatabaseError(`SQLSTATE ${code}`, 0, "error");
  cause.code = code;
  return new Error("Failed query", { cause });
}

interface Attempt {
  items: string[];
}

/** A writer of words whose transactions fail as `failureOf` says. */
function createWriter(
  failureOf: (items: readonly string[], attempt: number) => Error | undefined,
  retryForMs?: number,
) {
  const attempts: Attempt[] = [];
  const retries: number[] = [];
  const writer = new SetWriter<string, string>({
    write: async (items) => {
      attempts.push({ items: [...items] });
      const failure = failureOf(items, attempts.length);
      if (failure !== undefined) throw failure;
      return items.map((item) => ({ done: item.toUpperCase() }));
    },
    onRetry: ({ attempt }) => retries.push(attempt),
    retryForMs,
  });
  return { writer, attempts, retries };
}

const LETTERS = ["a", "b", "c", "d", "e", "f", "g"];

t.test("a poisoned item fails alone, whatever stands around it", async (t) => {
  for (const poison of LETTERS) {
    const { writer, attempts } = createWriter((items) => (items.includes(poison) ? databaseError("22003") : undefined));
    const outcomes = await writer.write(LETTERS);
    for (const [index, letter] of LETTERS.entries()) {
      const expected =
        letter === poison
          ? { failed: { code: "not_storable", message: /refuses the values .*22003/, cause: Error } }
          : { done: letter.toUpperCase() };
      t.match(outcomes[index], expected, `${letter} of a set with a bad ${poison}`);
    }
    t.ok(attempts.length <= 7, `${attempts.length} transactions`);
  }
});

t.test("several poisoned items, and a set of nothing else", async (t) => {
  const { writer } = createWriter((items) => (items.some((i) => i !== "d") ? databaseError("22021") : undefined));
  const outcomes = await writer.write(LETTERS);
  t.same(
    outcomes.map((outcome) => "done" in outcome),
    LETTERS.map((letter) => letter === "d"),
  );
});

t.test("what an item fails with says what may be told", async (t) => {
  const failWith = async (error: Error, retryForMs?: number) => {
    const [outcome] = await createWriter(() => error, retryForMs).writer.write(["a"]);
    return outcome !== undefined && "failed" in outcome ? outcome.failed : undefined;
  };
  for (const code of ["22003", "22021", "22P05", "23514", "23502", "54000"]) {
    t.match(await failWith(databaseError(code)), { code: "not_storable" }, code);
  }
  t.match(await failWith(databaseError("23503")), { code: "database_unavailable" }, "what it refers to was deleted");
  const bug = databaseError("42703");
  t.equal(await failWith(bug), bug, "a bug is not the agent's");
  const own = new IngestError("agent_not_found", "gone");
  t.equal(await failWith(own), own);
  t.match(await failWith(databaseError("57P01"), 0), { code: "database_unavailable" });
});

t.test("passing failures are tried again with the whole set, and nothing is halved for them", async (t) => {
  const passing = ["40P01", "40001", "57P01", "55P03", "08006", "53100"];
  const { writer, attempts, retries } = createWriter((_, attempt) => {
    const code = passing[attempt - 1];
    return code === undefined ? undefined : databaseError(code);
  });
  t.same(await writer.write(["a", "b"]), [{ done: "A" }, { done: "B" }]);
  t.same(
    attempts.map(({ items }) => items),
    Array.from({ length: 7 }, () => ["a", "b"]),
  );
  t.same(retries, [1, 2, 3, 4, 5, 6]);
});

t.test("how long the database has been away counts over all sets", async (t) => {
  let isAway = true;
  const { writer, attempts } = createWriter(() => (isAway ? databaseError("08006") : undefined), 100);
  const startedAt = performance.now();
  t.match(await writer.write(["a"]), [{ failed: { code: "database_unavailable" } }]);
  const tookMs = performance.now() - startedAt;
  t.ok(tookMs >= 100, `given up after ${tookMs} ms`);
  const before = attempts.length;
  t.match(await writer.write(["b"]), [{ failed: { code: "database_unavailable" } }]);
  t.equal(attempts.length, before + 1, "the next set is tried once");
  isAway = false;
  t.same(await writer.write(["c"]), [{ done: "C" }]);
  isAway = true;
  const again = attempts.length;
  t.match(await writer.write(["d"]), [{ failed: { code: "database_unavailable" } }]);
  t.ok(attempts.length > again + 1, "a further outage is tried through anew");
});

t.test("a set fails as one for what no item is to blame for", async (t) => {
  const { query, url } = await createEmptyDatabase(t);
  // A superuser would be admitted everywhere; this role is one of PostgreSQL's own.
  await query(`
    create table words (word text primary key);
    alter table words enable row level security;
    create policy good on words with check (word <> 'bad');
    grant insert on words to pg_monitor`);
  const database = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => database.close());
  let transactions = 0;
  const writer = new SetWriter<string, void>({
    write: (words) => {
      transactions += 1;
      return database.transaction(async (tx) => {
        await tx.execute(sql`set local role pg_monitor`);
        await tx.execute(sql`insert into words (word) select unnest(${sql.param(words)}::text[])`);
        return words.map(() => ({ done: undefined }));
      });
    },
    onRetry: () => {},
  });
  const words = Array.from({ length: 200 }, (_, n) => `word ${n}`);
  const failures = async () => (await writer.write(words)).filter((outcome) => "failed" in outcome).length;
  for (const fault of [
    "revoke insert on words from pg_monitor",
    "alter table words rename column word to sound",
    "alter table words rename to sounds",
  ]) {
    await query(fault);
    transactions = 0;
    t.equal(await failures(), words.length, fault);
    t.equal(transactions, 1, fault);
  }
  await query("alter table sounds rename to words");
  await query("alter table words rename column sound to word");
  await query("grant insert on words to pg_monitor");
  words[17] = "bad";
  t.equal(await failures(), 1, "a row that a policy does not admit fails alone");
});
