import { type Config, type ConfigResult, parseConfig } from "../../config/config.js";
import { type Lifetime, StartAborted } from "../../lib/lifetime.js";
import type { Logger } from "../../observe/logger.js";
import type { CommandContext } from "../context.js";
import { CommandFailure } from "../interaction/describe-error.js";

/**
 * The configuration in an environment; warnings are printed.
 *
 * @throws CommandFailure with every problem
 */
export function requireConfig(env: CommandContext["env"], warn: CommandContext["warn"]): Config {
  const result: ConfigResult = parseConfig(env);
  for (const warning of result.warnings) warn(`warning: ${warning}`);
  if ("problems" in result) throw new CommandFailure(result.problems);
  return result.config;
}

/**
 * Starts something and keeps it until the process is told to end, which it may be at any time: also while it starts. Then,
 * and when the start fails, all that the lifetime holds is closed.
 *
 * @throws Error what the start failed with, or that not everything could be closed
 */
export async function runUntilTold(
  { signal, secondSignal }: CommandContext,
  { lifetime, logger }: { lifetime: Lifetime; logger: Logger },
  start: () => Promise<unknown>,
): Promise<void> {
  onceAborted(signal, () => {
    logger.info({ reason: String(signal.reason), state: lifetime.state }, "shutting down");
    void lifetime.stop();
  });
  onceAborted(secondSignal, () => void lifetime.stopNow());
  let isClean = true;
  try {
    await start();
    await new Promise<void>((resolve) => onceAborted(signal, resolve));
  } catch (error) {
    if (!(error instanceof StartAborted)) throw error;
  } finally {
    isClean = await lifetime.stop();
    logger.info({ isClean }, "stopped");
  }
  if (!isClean) throw new Error("not everything could be closed before the process ended; the log says what");
}

function onceAborted(signal: AbortSignal, listener: () => void): void {
  if (signal.aborted) listener();
  else signal.addEventListener("abort", listener, { once: true });
}
