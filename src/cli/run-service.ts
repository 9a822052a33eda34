import { startApp } from "../app.js";
import { type Config, type ConfigResult, parseConfig } from "../config.js";
import type { Logger } from "../observe/logger.js";
import type { CommandContext } from "./context.js";

/**
 * The configuration in an environment; warnings are printed.
 *
 * @throws Error with every problem, one line each
 */
export function requireConfig(env: CommandContext["env"], warn: CommandContext["warn"]): Config {
  const result: ConfigResult = parseConfig(env);
  for (const warning of result.warnings) warn(`warning: ${warning}`);
  if ("problems" in result) throw new Error(result.problems.join("\n"));
  return result.config;
}

/** Runs the service until the signal is aborted. */
export async function runService(
  config: Config,
  logger: Logger,
  signal: AbortSignal,
  onReady: (ports: { grpcPort: number; httpPort: number }) => Promise<void> | void = () => {},
): Promise<void> {
  if (signal.aborted) return;
  const app = await startApp(config, logger);
  try {
    await onReady(app);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    logger.info({ reason: String(signal.reason) }, "shutting down");
  } finally {
    await app.close();
  }
}
