import t from "tap";
import type { IngestError } from "../../dist/errors.js";
import { CertificateMover } from "../../dist/heartbeat/certificate-mover.js";
import { HeartbeatEvents } from "../../dist/heartbeat/events.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const HORIZON_MS = 7 * DAY_MS;

interface FakeSession {
  key: { agentId: string };
  certificate: { serial: string; issuerFingerprintSha256: string; notAfter: Date };
  ageMs: number;
  end(error: IngestError): void;
}

function setUp(
  sessions: { name: string; issuer: string; daysLeft: number; ageMs?: number }[],
  timing: { paceMs: number; scanMs?: number },
) {
  const ended: { name: string; at: number; code: string }[] = [];
  const open = new Set<FakeSession>();
  for (const { name, issuer, daysLeft, ageMs = DAY_MS } of sessions) {
    const session: FakeSession = {
      key: { agentId: name },
      certificate: {
        serial: name,
        issuerFingerprintSha256: issuer,
        notAfter: new Date(Date.now() + daysLeft * DAY_MS),
      },
      ageMs,
      end: ({ code }) => {
        ended.push({ name, at: performance.now(), code });
        open.delete(session);
      },
    };
    open.add(session);
  }
  const until: Record<string, number | undefined> = { current: 3650, old: 1000, expiring: 5 };
  const mover = new CertificateMover({
    sessions: { open: open as never },
    agentCa: {
      current: { fingerprintSha256: "current" } as never,
      trustedUntil: (fingerprint) => {
        const days = until[fingerprint];
        return days === undefined ? undefined : new Date(Date.now() + days * DAY_MS);
      },
    },
    events: new HeartbeatEvents(createTestLog().logger),
    timing: { horizonMs: HORIZON_MS, minAgeMs: 60_000, scanMs: 1, ...timing },
  });
  return { ended, open, mover };
}

t.test("only those are moved that would be late, the most urgent first", async (t) => {
  const { ended, open, mover } = setUp(
    [
      { name: "current, expires soon", issuer: "current", daysLeft: 1 },
      { name: "old, renews in time", issuer: "old", daysLeft: 8 },
      { name: "old, late", issuer: "old", daysLeft: 6 },
      { name: "the CA expires", issuer: "expiring", daysLeft: 80 },
      { name: "late, but just opened", issuer: "old", daysLeft: 1, ageMs: 59_000 },
      { name: "retired, just opened", issuer: "retired", daysLeft: 80, ageMs: 0 },
      { name: "old, very late", issuer: "old", daysLeft: 2 },
    ],
    { paceMs: 1 },
  );
  t.teardown(() => mover.stop());
  await eventually(
    async () => ended.length,
    (count) => count === 4,
  );
  t.same(
    ended.map(({ name }) => name),
    ["retired, just opened", "old, very late", "the CA expires", "old, late"],
  );
  t.ok(ended.every(({ code }) => code === "certificate_outdated"));
  t.equal(open.size, 3);
});

t.test("one at a time", async (t) => {
  const sessions = Array.from({ length: 5 }, (_, i) => ({ name: `${i}`, issuer: "retired", daysLeft: 80 }));
  const { ended, mover } = setUp(sessions, { paceMs: 50 });
  t.teardown(() => mover.stop());
  await eventually(
    async () => ended.length,
    (count) => count === 5,
  );
  const [first, last] = [ended[0]?.at ?? 0, ended[4]?.at ?? 0];
  t.ok(last - first >= 4 * 45, `${last - first} ms for four more`);
});

t.test("a session that ended by itself meanwhile is passed over", async (t) => {
  const sessions = Array.from({ length: 3 }, (_, i) => ({ name: `${i}`, issuer: "retired", daysLeft: 80 }));
  const { ended, open, mover } = setUp(sessions, { paceMs: 20, scanMs: 60_000 });
  t.teardown(() => mover.stop());
  await eventually(
    async () => ended.length,
    (count) => count === 1,
  );
  const [gone] = open;
  if (gone !== undefined) open.delete(gone);
  await eventually(
    async () => ended.length,
    (count) => count === 2,
  );
  t.notOk(ended.some(({ name }) => name === gone?.key.agentId));
});
