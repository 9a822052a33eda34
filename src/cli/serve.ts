import { Command } from "commander";
import { createLogger } from "../observe/logger.js";
import type { CommandContext } from "./context.js";
import { requireConfig, runService } from "./run-service.js";

/** `serve`: the service, configured by environment variables. */
export function serveCommand({ env, signal, warn }: CommandContext): Command {
  return new Command("serve")
    .description("run the service; it is configured by environment variables (see README.md)")
    .action(async () => {
      const config = requireConfig(env, warn);
      await runService(config, createLogger(config.logLevel), signal);
    });
}
