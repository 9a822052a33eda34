import { Batcher } from "./batcher.js";

const MAX_KEYS = 200;

/**
 * Makes a lookup of one key out of a lookup of many: what is asked for while one is under way is looked up together,
 * in the next one. Nobody is answered with what was read before the question.
 *
 * @param lookUp the values in the order of the keys
 * @param paceMs least time between the beginnings of two lookups, in milliseconds; a single one still goes at once
 */
export function groupLookups<Key, Value>(
  lookUp: (keys: readonly Key[]) => Promise<readonly Value[]>,
  paceMs = 0,
): (key: Key) => Promise<Value> {
  const batcher = new Batcher<Key, Value>({
    flush: async (keys) => (await lookUp(keys)).map((done) => ({ done })),
    maxItems: MAX_KEYS,
    paceMs,
  });
  return (key) => batcher.add(key);
}
