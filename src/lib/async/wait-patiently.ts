/** A timer that is as late as this shows that the process was held up. */
const HELD_UP_MS = 100;

/**
 * Waits for what somebody else has to do in time. When this process was held up, or stopped, meanwhile, timers run before
 * what came is read: everybody would be too late, whether or not they were. They get as much time again, once.
 *
 * @param onOver is called when the time is over
 * @returns ends the waiting
 */
export function waitPatiently(ms: number, onOver: () => void): () => void {
  const dueAt = performance.now() + ms;
  let timer = setTimeout(() => {
    if (performance.now() - dueAt < HELD_UP_MS) onOver();
    else timer = setTimeout(onOver, ms).unref();
  }, ms).unref();
  return () => clearTimeout(timer);
}
