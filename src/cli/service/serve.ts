import cluster from "node:cluster";
import { Command } from "commander";
import { startApp } from "../../app/app.js";
import { createLifetime } from "../../app/create-lifetime.js";
import type { Config } from "../../config/config.js";
import { variableHelp } from "../../config/variable-help.js";
import { createLogger } from "../../observe/logger.js";
import type { CommandContext } from "../context.js";
import { wrap } from "../terminal/text-width.js";
import { requireConfig, runUntilTold } from "./run-service.js";
import { runPrimary } from "./workers/primary.js";
import { runWorker } from "./workers/worker.js";
import { isWorkerEnvironment } from "./workers/worker-messages.js";

/** `serve`: the service, configured by environment variables. */
export function serveCommand(context: CommandContext): Command {
  return new Command("serve")
    .description("run the service; it is configured by environment variables")
    .addHelpText("after", () => `\n${formatVariables(context.terminal?.columns)}`)
    .action(async () => {
      if (cluster.isWorker && isWorkerEnvironment(context.env)) {
        // The primary has warned already.
        await runWorker(
          context,
          requireConfig(context.env, () => {}),
        );
        return;
      }
      const config = requireConfig(context.env, context.warn);
      // A process manager that makes clusters of its own (PM2) decides how many there are.
      if (config.workers > 1 && cluster.isPrimary) await runPrimary(context, config);
      else await runAlone(context, config);
    });
}

const DEFAULT_COLUMNS = 80;
const INDENT = 6;

function formatVariables(columns = DEFAULT_COLUMNS): string {
  const lines = variableHelp().flatMap(({ name, default: value, isRequired, meaning }) => [
    `  ${name}${isRequired ? " (required)" : value === undefined ? "" : ` (default: ${value})`}`,
    ...wrap(meaning, columns - INDENT, { breakWords: false }).map((line) => `${" ".repeat(INDENT)}${line}`),
  ]);
  return ["Environment:", ...lines].join("\n");
}

async function runAlone(context: CommandContext, config: Config): Promise<void> {
  const logger = createLogger(config.logLevel);
  const lifetime = createLifetime(logger, config.stopTimeoutMs);
  await runUntilTold(context, { lifetime, logger }, () => startApp(config, logger, { lifetime }));
}
