import t from "tap";
import { eventually } from "../support/eventually.js";
import { enrol, heartbeat, openLiveStream } from "../support/field-agent.js";
import { startTestService } from "../support/service.js";

t.test("heartbeats update hosts and agents in place: no index of theirs is written (HOT)", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const identity = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, identity);
  const updates = async () => {
    const rows = await query(`
      select relname, n_tup_upd::int as all, n_tup_hot_upd::int as hot from pg_stat_user_tables
      where schemaname = 'public' and relname in ('agents', 'hosts') order by relname`);
    return rows.map(({ relname, all, hot }) => ({ relname, all, elsewhere: all - hot }));
  };
  // The first heartbeat brings the addresses.
  const before = await eventually(updates, (rows) => rows.every(({ all }) => all > 0));
  for (let i = 1; i <= 20; i++) {
    stream.send(heartbeat(identity.agentId, { cpuPercent: i, uptimeSeconds: i }));
    await stream.next();
  }
  const after = await eventually(updates, (rows) => rows.every(({ all }, n) => all >= (before[n]?.all ?? 0) + 20));
  for (const [n, { relname, elsewhere }] of after.entries()) {
    // A page that is full sends one elsewhere now and then; an index on what a heartbeat changes would send all twenty.
    t.ok(elsewhere - (before[n]?.elsewhere ?? 0) <= 2, relname);
  }
  stream.end();
});
