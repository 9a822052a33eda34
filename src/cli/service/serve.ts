import { Command } from "commander";
import { startApp } from "../../app/app.js";
import { createLifetime } from "../../app/create-lifetime.js";
import { createLogger } from "../../observe/logger.js";
import type { CommandContext } from "../context.js";
import { requireConfig, runUntilTold } from "./run-service.js";

/** `serve`: the service, configured by environment variables. */
export function serveCommand(context: CommandContext): Command {
  return new Command("serve")
    .description("run the service; it is configured by environment variables (see README.md)")
    .action(async () => {
      const config = requireConfig(context.env, context.warn);
      const logger = createLogger(config.logLevel);
      const lifetime = createLifetime(logger, config.stopTimeoutMs);
      await runUntilTold(context, { lifetime, logger }, () => startApp(config, logger, { lifetime }));
    });
}
