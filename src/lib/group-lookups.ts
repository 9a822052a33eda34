import { Batcher } from "./batcher.js";

const MAX_KEYS = 200;

/**
 * Makes a lookup of one key out of a lookup of many: what is asked for while one is under way is looked up together,
 * in the next one. Nobody is answered with what was read before the question.
 *
 * @param lookUp the values in the order of the keys
 */
export function groupLookups<Key, Value>(
  lookUp: (keys: readonly Key[]) => Promise<readonly Value[]>,
): (key: Key) => Promise<Value> {
  const batcher = new Batcher<Key, Value>({
    flush: async (keys) => (await lookUp(keys)).map((done) => ({ done })),
    maxItems: MAX_KEYS,
  });
  return (key) => batcher.add(key);
}
