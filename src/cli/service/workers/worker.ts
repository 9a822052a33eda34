import cluster from "node:cluster";
import { createLifetime } from "../../../app/create-lifetime.js";
import { type InstanceView, startInstance } from "../../../app/instance.js";
import type { Config } from "../../../config/config.js";
import { createId } from "../../../lib/ids.js";
import { createLogger } from "../../../observe/logger.js";
import type { CommandContext } from "../../context.js";
import { runUntilTold } from "../run-service.js";
import type { Order, Report } from "./worker-messages.js";

const STATUS_MS = 1_000;
/** Of the time for stopping, what a worker takes: the rest is the primary's. */
const STOP_SHARE = 0.95;

/** Runs one of several processes that serve agents: an instance like any other, that does what the primary says. */
export async function runWorker(context: CommandContext, config: Config): Promise<void> {
  const instanceId = createId();
  const logger = createLogger(config.logLevel).child({ instanceId });
  const lifetime = createLifetime(logger, config.stopTimeoutMs * STOP_SHARE);
  const orders = followOrders();
  const signals = {
    ...context,
    signal: AbortSignal.any([context.signal, orders.stop]),
    secondSignal: AbortSignal.any([context.secondSignal, orders.stopNow]),
  };
  let view: InstanceView | undefined;
  let grpcPort: number | undefined;
  const report = () => {
    const { state } = lifetime;
    const healthProblem = view?.findHealthProblem();
    tell({ type: "status", status: { instanceId, state, healthProblem, jwks: view?.jwks(), grpcPort } });
  };
  orders.onMeasure(async () => {
    for (const metrics of (await view?.metrics()) ?? []) tell({ type: "metrics", metrics });
  });
  const reporting = setInterval(report, STATUS_MS);
  report();
  lifetime.ending.addEventListener("abort", () => report());
  try {
    await runUntilTold(signals, { lifetime, logger }, async () => {
      const show = (shown: InstanceView) => {
        view = shown;
      };
      grpcPort = await startInstance(config, logger, { timing: {}, lifetime, instanceId, show });
      logger.info({ grpcPort, workerPid: process.pid }, "a worker serves agents");
      report();
    });
  } finally {
    clearInterval(reporting);
    // Nothing comes any more that this process would have to stay for.
    process.channel?.unref();
  }
}

function tell(report: Report): void {
  if (process.connected) process.send?.(report, undefined, undefined, () => {});
}

/** What the primary says. One that is gone says nothing more: then it is over as well. */
function followOrders(): { stop: AbortSignal; stopNow: AbortSignal; onMeasure(measure: () => Promise<void>): void } {
  const [stop, stopNow] = [new AbortController(), new AbortController()];
  cluster.worker?.on("message", (order: Order) => {
    if (order.type === "measure") return;
    if (order.type === "stop") return stop.abort(order.reason);
    stop.abort("at once");
    stopNow.abort();
  });
  cluster.worker?.once("disconnect", () => {
    // Without it Node ends the process at this point.
    if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
    stop.abort("the primary is gone");
  });
  const onMeasure = (measure: () => Promise<void>) => {
    cluster.worker?.on("message", (order: Order) => {
      if (order.type === "measure") void measure();
    });
  };
  return { stop: stop.signal, stopNow: stopNow.signal, onMeasure };
}
