import { createLifetime } from "../../../app/create-lifetime.js";
import type { InstanceView } from "../../../app/instance.js";
import { openPlainListener } from "../../../app/opening/open-plain-listener.js";
import type { Config } from "../../../config/config.js";
import { abortable } from "../../../lib/async/abortable.js";
import { createLogger } from "../../../observe/logger.js";
import { Acceptance } from "../../../server/probes/acceptance.js";
import type { CommandContext } from "../../context.js";
import { runUntilTold } from "../run-service.js";
import { Supervisor } from "./supervisor.js";
import { WorkerMetrics } from "./worker-metrics.js";

/** Beyond what a stop may take, for those that are killed. */
const KILL_GRACE_MS = 2_000;

/** Runs the service in several processes: starts them, looks after them, and answers on the plain port for all of them. */
export async function runPrimary(context: CommandContext, config: Config): Promise<void> {
  const logger = createLogger(config.logLevel);
  const lifetime = createLifetime(logger, config.stopTimeoutMs);
  await runUntilTold(context, { lifetime, logger }, async () => {
    const supervisor = new Supervisor({ workers: config.workers, logger });
    const metrics = new WorkerMetrics(() => supervisor.running);
    let acceptance: Acceptance | undefined;
    const view: InstanceView = {
      findHealthProblem: () => healthProblemOf(supervisor),
      findReadinessProblem: async () =>
        lifetime.state === "serving"
          ? (healthProblemOf(supervisor) ?? acceptance?.findProblem())
          : `the service is ${lifetime.state}`,
      metrics: () => metrics.measure(),
      jwks: () => supervisor.running.map(({ status }) => status?.jwks).find((jwks) => jwks !== undefined),
    };
    const httpPort = await openPlainListener({ config, lifetime, logger, view });
    const stop = (hurry: AbortSignal) => supervisor.stop(String(context.signal.reason ?? "failure"), hurry);
    // They outlive this process unless they are ended.
    lifetime.register("workers", stop, { vital: true, timeoutMs: config.stopTimeoutMs + KILL_GRACE_MS });
    // Also before it is ready: whoever replaces a file of the service does not know that it has just started.
    context.onHangUp?.(() => void supervisor.restart());
    const grpcPort = await abortable(supervisor.start(), lifetime.ending);
    acceptance = new Acceptance({ port: grpcPort, address: config.grpcAddress, isProxy: config.isProxy });
    lifetime.serve();
    logger.info({ grpcPort, httpPort, workers: config.workers }, "ready");
    await abortable(supervisor.failed, lifetime.ending);
  });
}

/** The service is as healthy as its healthiest worker: the others are replaced, or the log says what they lack. */
function healthProblemOf({ running }: Supervisor): string | undefined {
  const problems = running.flatMap(({ status }) =>
    status?.state === "serving" || status?.state === "draining" ? [status.healthProblem] : [],
  );
  return problems.includes(undefined) ? undefined : (problems[0] ?? "the service is starting");
}
