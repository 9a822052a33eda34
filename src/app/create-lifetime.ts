import { type CloseStep, Lifetime } from "../lib/lifetime.js";
import type { Logger } from "../observe/logger.js";

/** A lifetime whose steps are logged. */
export function createLifetime(logger: Logger, stopTimeoutMs: number): Lifetime {
  const onStep = ({ name, durationMs, error }: CloseStep) => {
    const step = { step: name, durationMs: Math.round(durationMs) };
    if (error === undefined) logger.debug(step, "closed");
    else logger.error({ ...step, err: error }, "could not be closed in time");
  };
  return new Lifetime({ stopTimeoutMs, onStep });
}
