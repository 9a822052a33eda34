import t from "tap";
import { IdentityWatch } from "../../../dist/heartbeat/identity-watch.js";
import { AbandonedSweep } from "../../../dist/heartbeat/presence/abandoned-sweep.js";
import { InstancePresence } from "../../../dist/heartbeat/presence/instance-presence.js";
import { SilenceWatch } from "../../../dist/heartbeat/presence/silence-watch.js";
import { openDatabase } from "../../../dist/store/database.js";
import { callerOf, createTestSessions, TestSessionStream } from "../../support/agents/sessions.js";
import { insertAgentRows } from "../../support/database/agent-rows.js";
import { createTestDatabase } from "../../support/database/database.js";
import { recordStatements } from "../../support/database/statements.js";
import { eventually } from "../../support/eventually.js";

/** A minute goes by in a hundredth of its time: so every interval is a hundredth of what it is. */
const RENEW_MS = 50;
const SCAN_MS = 50;
const SWEEP_MS = 100;
const RENEWALS_IN_A_MINUTE = 12;

t.test("two hundred idle agents cost as many statements in a minute as none", async (t) => {
  const COUNT = 200;
  const test = await createTestDatabase(t);
  const agents = await insertAgentRows(test, COUNT);
  const database = openDatabase({ url: test.url, maxConnections: 5 });
  t.teardown(() => database.close());
  const { db } = database;
  // As long as an agent may be silent, in the same measure, and longer than a busy machine takes for this test.
  const patience = { graceMs: 50, offlineAfterMs: 60_000 };
  const { sessions, hold, calm, offlineWriter, events } = createTestSessions(database, { patience });
  const streams = agents.map((agent) => {
    const stream = new TestSessionStream();
    hold(callerOf(agent), stream);
    return stream;
  });
  await Promise.all(streams.map((stream) => stream.send()));
  t.equal(sessions.open.size, COUNT);

  const statements: string[] = [];
  const recorded = await recordStatements(async () => {
    const instance = { id: "instance-1", version: "1", address: "here:1" };
    const presence = await InstancePresence.open({ db, instance, calm, events, timing: { renewMs: RENEW_MS } });
    const parts = [
      presence,
      new IdentityWatch({ db, sessions, events, scanIntervalMs: SCAN_MS }),
      new SilenceWatch({ sessions, offlineWriter, calm, events, scanMs: SCAN_MS }),
      new AbandonedSweep({ db, offlineWriter, calm, events, silentForMs: 0, sweepMs: SWEEP_MS }),
    ];
    const renewals = async () => {
      const [row] = await test.query(
        "select (extract(epoch from renewed_at - started_at) * 1000)::int as ms from ingest.instances",
      );
      return row?.ms ?? 0;
    };
    await eventually(renewals, (ms) => ms >= RENEWALS_IN_A_MINUTE * RENEW_MS);
    for (const part of parts) await part.stop();
  });
  for (const { text } of recorded)
    if (/ingest\.|agents|hosts/.test(text) && !/extract\(epoch from renewed_at/.test(text)) statements.push(text);
  t.ok(statements.length > 0, "a busy machine looks less often");
  t.ok(statements.length <= 3 * RENEWALS_IN_A_MINUTE + 10, `${statements.length} statements for ${COUNT} agents`);
  const writes = statements.filter((text) => /^\s*(insert|update|delete)/i.test(text) && !/"?instances"?/.test(text));
  t.same(
    writes.filter((text) => !/agent_sessions \(agent_id, epoch|contested_agents/.test(text)),
    [],
    "nothing is written for them",
  );
});
