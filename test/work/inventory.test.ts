import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import t, { type Test } from "tap";
import { IngestError } from "../../dist/errors.js";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import type { RawInventoryChunk } from "../../dist/work/inventory/inventory-upload.js";
import { InventoryUploads } from "../../dist/work/inventory/inventory-uploads.js";
import { connectTo, createTestDatabase } from "../support/database/database.js";
import { insertHosts, insertRun, readRunStatus, readTasks, type TestHost } from "../support/database/work-rows.js";
import { openStore, quietEvents } from "../support/work-desk.js";

const database = await createTestDatabase(t);
const uploads = new InventoryUploads({
  outbox: createClosedOutbox(),
  database: openStore(t, database),
  events: quietEvents(),
  chunkTimeoutMs: 200,
  lockTimeoutMs: 500,
});
const never = new AbortController().signal;

async function oneHost(): Promise<TestHost> {
  const [host] = await insertHosts(database, 1);
  if (host === undefined) throw new Error("no host");
  return host;
}

function pkg(name: string, fields: Partial<RawInventoryChunk["packages"][number]> = {}) {
  return { name, version: "1.0", architecture: "amd64", publisher: "", installDateUnix: 0n, ...fields };
}

function chunk(scanId: string, fields: Partial<RawInventoryChunk> = {}): RawInventoryChunk {
  return { scanId, agentId: "", source: "dpkg", chunkIndex: 0, isLast: true, packages: [], ...fields };
}

/** An upload as an agent streams it; counts how much of it was read. */
async function* stream(chunks: readonly (RawInventoryChunk | Error)[], read: { count: number } = { count: 0 }) {
  for (const each of chunks) {
    if (each instanceof Error) throw each;
    read.count += 1;
    yield each;
  }
}

async function scan(host: TestHost): Promise<{ runId: string; taskIds: string[]; id: string }> {
  const run = await insertRun(database, [host], { type: "software_inventory", status: "running" });
  return { ...run, id: run.taskIds[0] ?? "" };
}

const upload = (host: TestHost, chunks: readonly (RawInventoryChunk | Error)[], read?: { count: number }) =>
  uploads.receive(host, stream(chunks, read), never);

function packagesOf({ hostId }: TestHost) {
  return database.query<{ name: string; architecture: string; removed: boolean }>(
    `select name, architecture, removed_at is not null as removed from software_packages
     where host_id = $1 order by name, architecture`,
    [hostId],
  );
}

async function newestScan({ hostId }: TestHost) {
  const [row] = await database.query(
    "select * from software_scans where host_id = $1 order by created_at desc limit 1",
    [hostId],
  );
  return row;
}

t.test("a scan lists what is there, and removes what is not", async (t) => {
  const host = await oneHost();
  const first = await scan(host);
  const received = await upload(host, [
    chunk(first.id, { isLast: false, packages: [pkg("bash", { publisher: "Debian" }), pkg("curl"), pkg("curl")] }),
    chunk(first.id, { chunkIndex: 1, packages: [pkg("app", { architecture: "", version: "" }), pkg("nul\0led")] }),
  ]);
  t.equal(received, 5, "doubles count as received");
  t.match(await newestScan(host), {
    status: "success",
    source: "dpkg",
    task_run_host_id: first.id,
    package_count: 4,
    added_count: 4,
    removed_count: 0,
    unchanged_count: 0,
    started_at: Date,
    completed_at: Date,
  });
  t.match((await readTasks(database, [first.id]))[0], {
    status: "success",
    exit_code: 0,
    result: { scan_id: first.id, package_count: 4, source: "dpkg" },
  });
  t.equal(await readRunStatus(database, first.runId), "completed");
  const [noted] = await database.query<{ at: string }>(
    "select metadata ->> 'lastSoftwareScanAt' as at from hosts where id = $1",
    [host.hostId],
  );
  t.ok(Date.now() - Date.parse(noted?.at ?? "") < 60_000);

  const second = await scan(host);
  await upload(host, [chunk(second.id, { packages: [pkg("bash"), pkg("new")] })]);
  t.match(await newestScan(host), { package_count: 2, added_count: 1, removed_count: 3, unchanged_count: 1 });
  const third = await scan(host);
  await upload(host, [chunk(third.id, { packages: [pkg("bash"), pkg("new"), pkg("curl")] })]);
  t.match(
    await newestScan(host),
    { added_count: 0, removed_count: 0, unchanged_count: 3 },
    "one that returns is not new",
  );
  t.same(await packagesOf(host), [
    { name: "app", architecture: "", removed: true },
    { name: "bash", architecture: "amd64", removed: false },
    { name: "curl", architecture: "amd64", removed: false },
    { name: "new", architecture: "amd64", removed: false },
    { name: "nulled", architecture: "amd64", removed: true },
  ]);
});

t.test("the time of a scan is noted whatever a host's metadata are", async (t) => {
  for (const metadata of [null, "null", "[1]", '"text"']) {
    const host = await oneHost();
    await database.query("update hosts set metadata = $2 where id = $1", [host.hostId, metadata]);
    await upload(host, [chunk((await scan(host)).id)]);
    const [noted] = await database.query<{ at: string }>(
      "select metadata ->> 'lastSoftwareScanAt' as at from hosts where id = $1",
      [host.hostId],
    );
    t.ok(Date.now() - Date.parse(noted?.at ?? "") < 60_000, `${metadata}`);
  }
});

t.test("an empty scan is a scan", async (t) => {
  const host = await oneHost();
  const task = await scan(host);
  t.equal(await upload(host, [chunk(task.id, { source: "" })]), 0);
  t.match(await newestScan(host), { status: "success", source: "other", package_count: 0 });
});

t.test("an upload that breaks off removes nothing and leaves nothing running", async (t) => {
  const host = await oneHost();
  const good = await scan(host);
  await upload(host, [chunk(good.id, { packages: [pkg("bash"), pkg("curl")] })]);
  const half = (id: string) => chunk(id, { isLast: false, packages: [pkg("bash")] });
  const broken: [string, (id: string) => (RawInventoryChunk | Error)[]][] = [
    ["ends without a last chunk", (id) => [half(id)]],
    ["is reset", (id) => [half(id), new Error("reset by peer")]],
    ["skips a chunk", (id) => [half(id), chunk(id, { chunkIndex: 2 })]],
    ["repeats a chunk", (id) => [half(id), half(id)]],
    ["goes on after the last chunk", (id) => [chunk(id), chunk(id, { chunkIndex: 1 })]],
    ["names another scan", (id) => [half(id), chunk("other", { chunkIndex: 1 })]],
    ["names another agent", (id) => [half(id), chunk(id, { chunkIndex: 1, agentId: "somebody" })]],
  ];
  for (const [what, chunks] of broken) {
    const task = await scan(host);
    await t.rejects(upload(host, chunks(task.id)), what);
    t.match((await readTasks(database, [task.id]))[0], { status: "failed", exit_code: -1, raw_output: /./ }, what);
    t.equal(await readRunStatus(database, task.runId), "failed", what);
    t.match(await newestScan(host), { status: "failed", task_run_host_id: task.id, error_message: /./ }, what);
    t.same(
      (await packagesOf(host)).map(({ removed }) => removed),
      [false, false],
      what,
    );
  }
});

t.test("an upload that stalls gives its place up", async (t) => {
  const host = await oneHost();
  const task = await scan(host);
  const stalled = async function* () {
    yield chunk(task.id, { isLast: false });
    await new Promise(() => {});
  };
  await t.rejects(uploads.receive(host, stalled(), never), { code: "deadline" });
  t.match((await readTasks(database, [task.id]))[0], { status: "failed" });
});

t.test("an upload that trickles gives its place up", async (t) => {
  const brief = new InventoryUploads({
    outbox: createClosedOutbox(),
    database: openStore(t, database),
    events: quietEvents(),
    uploadTimeoutMs: 300,
  });
  const host = await oneHost();
  const task = await scan(host);
  const trickle = async function* (id: string) {
    for (let chunkIndex = 0; ; chunkIndex++) {
      yield chunk(id, { chunkIndex, isLast: false });
      await delay(20);
    }
  };
  await t.rejects(brief.receive(host, trickle(task.id), never), { code: "deadline", message: /took too long/ });
  t.match((await readTasks(database, [task.id]))[0], { status: "failed", raw_output: /took too long/ });
});

t.test("what an upload may name", async (t) => {
  const [host, other] = (await insertHosts(database, 2)) as [TestHost, TestHost];
  const refused = async (t: Test, scanId: string, code: string) => {
    const read = { count: 0 };
    const chunks = [0, 1, 2].map((n) => chunk(scanId, { chunkIndex: n, isLast: n === 2, packages: [pkg("evil")] }));
    await t.rejects(upload(host, chunks, read), { code });
    t.equal(read.count, 3, "an agent that is answered early would report EOF, and not why");
    t.same(await packagesOf(host), []);
  };
  const foreign = await scan(other);
  const deleted = await scan(host);
  await database.query("update task_run_hosts set deleted_at = now() where id = $1", [deleted.id]);
  const script = await insertRun(database, [host], { status: "running" });
  await refused(t, foreign.id, "task_not_found");
  await refused(t, deleted.id, "task_not_found");
  await refused(t, "unknown", "task_not_found");
  await refused(t, "", "invalid_field");
  await refused(t, script.taskIds[0] ?? "", "invalid_field");
  t.match(
    (await readTasks(database, [foreign.id, script.taskIds[0] ?? ""])).map(({ status }) => status),
    ["running", "running"],
  );
});

t.test("a second upload changes no status, and two at once leave one state", async (t) => {
  const host = await oneHost();
  const task = await scan(host);
  const list = (names: string[]) => names.map((name) => pkg(name));
  const begun: (() => void)[] = [];
  const both = Promise.all([0, 1].map(() => new Promise<void>((resolve) => begun.push(resolve))));
  const inStep = async function* (names: string[]) {
    yield chunk(task.id, { isLast: false, packages: list(names) });
    // The task was looked at when the next chunk is asked for.
    begun.pop()?.();
    await both;
    yield chunk(task.id, { chunkIndex: 1 });
  };
  const halves = [inStep(["a", "b", "c"]), inStep(["c", "b", "a"])];
  await Promise.all(halves.map((chunks) => uploads.receive(host, chunks, never)));
  t.same(
    (await packagesOf(host)).map(({ name, removed }) => ({ name, removed })),
    ["a", "b", "c"].map((name) => ({ name, removed: false })),
  );
  await t.rejects(upload(host, [chunk(task.id, { packages: list(["d"]) })]), { code: "task_not_found" });
  t.equal((await packagesOf(host)).length, 3, "what is over cannot be used to store more");
  const late = await scan(host);
  await database.query("update task_run_hosts set status = 'failed' where id = $1", [late.id]);
  await upload(host, [chunk(late.id, { packages: list(["a"]) })]);
  t.match((await readTasks(database, [late.id]))[0], { status: "failed" }, "one that timed out is of use, once");
  t.same(
    (await packagesOf(host)).map(({ removed }) => removed),
    [false, true, true],
  );
});

t.test("a host or run that somebody keeps locked holds up no other upload, and its own not for ever", async (t) => {
  const [host, other] = [await oneHost(), await oneHost()];
  const [held, free] = [await scan(host), await scan(other)];
  for (const [table, id] of [
    ["task_runs", held.runId],
    ["task_run_hosts", held.id],
    ["hosts", host.hostId],
  ] as const) {
    const holder = await connectTo(t, database.url);
    await holder.query("begin");
    await holder.query(`select from ${table} where id = $1 for update`, [id]);
    const locked = upload(host, [chunk(held.id)]);
    await upload(other, [chunk(free.id)]);
    await database.query("update task_run_hosts set status = 'running' where id = $1", [free.id]);
    await database.query("delete from software_scans where task_run_host_id = $1", [free.id]);
    await t.rejects(locked, { code: "database_unavailable", cause: { message: /locked/ } }, table);
    await holder.query("rollback");
    t.match(await readTasks(database, [held.id]), [{ status: "running" }]);
  }
  await upload(host, [chunk(held.id)]);
  t.match(await readTasks(database, [held.id]), [{ status: "success" }]);
});

t.test("20,000 packages, in any form", async (t) => {
  const host = await oneHost();
  const task = await scan(host);
  // Text that repeats itself would fit into an index all the same.
  const long = randomBytes(5_000).toString("hex");
  const chunks = Array.from({ length: 40 }, (_, index) =>
    chunk(task.id, {
      chunkIndex: index,
      isLast: index === 39,
      packages: Array.from({ length: 500 }, (_, n) =>
        pkg(`package-${index}-${n}`, n === 0 ? { version: long, publisher: long, installDateUnix: 2n ** 62n } : {}),
      ),
    }),
  );
  t.equal(await upload(host, chunks), 20_000);
  t.match(await newestScan(host), { package_count: 20_000, added_count: 20_000 });
  const next = await scan(host);
  const many = Array.from({ length: 110 }, (_, index) =>
    chunk(next.id, { chunkIndex: index, isLast: false, packages: Array.from({ length: 500 }, () => pkg("p")) }),
  );
  await t.rejects(upload(host, many), { code: "too_much" });
});

t.test("uploads beyond four at a time wait, in order, and can be given up", async (t) => {
  const slow = new InventoryUploads({
    outbox: createClosedOutbox(),
    database: openStore(t, database, 1),
    events: quietEvents(),
  });
  const host = await oneHost();
  const blocks = Array.from({ length: 4 }, () => makeBlock());
  const held = blocks.map(({ wait }) => {
    const chunks = (async function* () {
      await wait;
      yield* [];
    })();
    return slow.receive(host, chunks, never).catch((error: unknown) => error);
  });
  const giveUp = new AbortController();
  const read = { count: 0 };
  const waiting = slow.receive(host, stream([chunk("x")], read), giveUp.signal);
  giveUp.abort(new IngestError("draining", "gone"));
  await t.rejects(waiting, { code: "draining" });
  t.equal(read.count, 0, "it is not read while it waits");
  for (const { release } of blocks) release();
  for (const outcome of await Promise.all(held)) t.match(outcome, { code: "invalid_field" });
});

function makeBlock(): { wait: Promise<void>; release: () => void } {
  let release = () => {};
  const wait = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { wait, release };
}
