import t from "tap";
import { WorkerMetrics } from "../../dist/cli/service/workers/worker-metrics.js";
import { Metrics, renderMetrics } from "../../dist/observe/metrics.js";

/** A worker that has counted so much, and tells of it or not. */
function createWorker(count: number) {
  const metrics = new Metrics();
  const agents = { open: count, answers: true };
  metrics.follow({
    sessions: () => agents.open,
    connections: () => 0,
    waitingConnections: () => 0,
    isDatabaseUp: () => true,
    waitingBytes: () => 0,
    certificatesExpireAt: () => new Map(),
    clientCertificatesExpiring: async () => new Map(),
    queue: () => undefined,
  });
  metrics.heartbeatsStored.inc(count);
  metrics.refusals.inc({ reason: `reason ${count}` }, count);
  metrics.batchSize.observe(count);
  return { agents, measure: async () => (agents.answers ? metrics.snapshot() : undefined) };
}

t.test("no counter goes back, whatever becomes of workers", async (t) => {
  const [first, second, third] = [createWorker(1), createWorker(10), createWorker(100)];
  let running = [first, second];
  const workers = new WorkerMetrics(() => running);
  const look = async () => {
    const { text } = await renderMetrics(await workers.measure());
    const value = (series: string) => {
      const line = text.split("\n").find((one) => one.startsWith(`ct_ops_ingest_${series} `));
      return line && Number(line.slice(line.lastIndexOf(" ")));
    };
    return {
      stored: value("heartbeats_stored_total"),
      batches: value('heartbeat_batch_size_bucket{le="+Inf"}'),
      refused: value('refusals_total{reason="reason 1"}'),
      sessions: value("sessions"),
    };
  };
  t.same(await look(), { stored: 11, batches: 2, refused: 1, sessions: 11 });
  running = [second];
  t.same(await look(), { stored: 11, batches: 2, refused: 1, sessions: 10 }, "one has ended");
  running = [second, third];
  t.same(await look(), { stored: 111, batches: 3, refused: 1, sessions: 110 }, "another took its place");
  third.agents.answers = false;
  t.same(await look(), { stored: 111, batches: 3, refused: 1, sessions: 110 }, "it does not answer");
  running = [];
  t.same(await look(), { stored: 111, batches: 3, refused: 1, sessions: undefined }, "all have ended");
});

t.test("the event loop's delay is that of the worker that is worst off", async (t) => {
  const workers = [createWorker(1), createWorker(2)];
  const [one, other] = await Promise.all(workers.map((worker) => worker.measure()));
  const withDelay = (snapshot: object[] | undefined, value: number) =>
    (snapshot ?? []).map((metric) =>
      "name" in metric && metric.name === "nodejs_eventloop_lag_p99_seconds"
        ? { ...metric, values: [{ value, labels: {} }] }
        : metric,
    );
  const { text } = await renderMetrics([withDelay(one, 0.01), withDelay(other, 4)]);
  t.match(text, /^nodejs_eventloop_lag_p99_seconds 4$/m);
});
