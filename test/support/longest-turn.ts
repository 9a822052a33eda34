/** Does something, and measures the longest turn of the event loop meanwhile, in processor time: others use the machine as well. */
export async function measureLongestTurn<T>(work: () => Promise<T>): Promise<{ outcome: T; longestMs: number }> {
  let longestUs = 0;
  let isRunning = true;
  let before = process.cpuUsage();
  setImmediate(function look() {
    const { user, system } = process.cpuUsage(before);
    longestUs = Math.max(longestUs, user + system);
    before = process.cpuUsage();
    if (isRunning) setImmediate(look);
  });
  const outcome = await work();
  isRunning = false;
  return { outcome, longestMs: longestUs / 1_000 };
}
