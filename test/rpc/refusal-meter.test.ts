import t from "tap";
import { RefusalMeter, type RefusalSummary } from "../../dist/rpc/refusals/refusal-meter.js";

function createMeter() {
  const summaries: RefusalSummary[] = [];
  const meter = new RefusalMeter({ onSummary: (summary) => summaries.push(summary), periodMs: 600_000 });
  let tellsApart = 0;
  return {
    summaries,
    close: () => meter.close(),
    agent: (agentId: string, reason = "revoked") =>
      meter.admit({ agentId, publicKey: undefined, source: "192.0.2.1" }, reason),
    stranger: (source: string, { publicKey = `key ${tellsApart++}`, reason = "token_unknown" } = {}) =>
      meter.admit({ agentId: undefined, publicKey, source }, reason),
  };
}

const countTold = (count: number, admit: (n: number) => boolean) =>
  Array.from({ length: count }, (_, n) => admit(n)).filter(Boolean).length;

t.test("each caller has a share, and so has each reason it is refused for", async (t) => {
  const { agent, stranger } = createMeter();
  t.equal(
    countTold(100, () => agent("a")),
    5,
  );
  t.equal(
    countTold(100, (n) => agent("a", `reason ${n}`)),
    15,
  );
  t.equal(agent("b"), true);
  t.equal(
    countTold(100, () => stranger("198.51.100.1", { publicKey: "one" })),
    5,
  );
});

t.test("an address that makes many keys has a share, and is in nobody's way", async (t) => {
  const { agent, stranger } = createMeter();
  t.equal(
    countTold(10_000, () => stranger("198.51.100.1")),
    200,
  );
  t.equal(stranger("198.51.100.2"), true, "another address");
  t.equal(agent("a"), true, "an agent");
  t.equal(
    countTold(10_000, (n) => stranger(`203.0.113.${n}`)),
    799,
    "all addresses together",
  );
  t.equal(
    countTold(10_000, (n) => agent(`agent ${n}`)),
    1_999,
    "agents",
  );
});

t.test("the rest is summed up, with the busiest; nothing when all was told", async (t) => {
  const { agent, stranger, summaries, close } = createMeter();
  agent("a");
  close();
  t.same(summaries, []);
  for (let n = 0; n < 300; n++) stranger("198.51.100.1");
  for (let n = 0; n < 7; n++) for (let of = 0; of < n; of++) stranger(`203.0.113.${n}`, { reason: "other" });
  close();
  t.match(summaries, [
    {
      refused: 321,
      untold: 100,
      reasons: { token_unknown: 300, other: 21 },
      sources: 7,
      busiest: [
        { source: "198.51.100.1", refused: 300 },
        { source: "203.0.113.6", refused: 6 },
        { source: "203.0.113.5" },
        { source: "203.0.113.4" },
        { source: "203.0.113.3" },
      ],
    },
  ]);
  t.equal(summaries[0]?.busiest.length, 5);
  t.equal(
    countTold(1, () => stranger("198.51.100.1")),
    1,
    "a new period",
  );
});
