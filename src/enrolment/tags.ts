import type { Tag } from "../store/hosts/tags.js";

/** Reads a JSON value that holds tags (`[{key,value}]`); what is not a tag is passed over. */
export function readTags(value: unknown): Tag[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((entry: unknown) => {
    if (typeof entry !== "object" || entry === null || !("key" in entry) || !("value" in entry)) return [];
    const { key, value: tagValue } = entry;
    return typeof key === "string" && key !== "" && typeof tagValue === "string" ? [{ key, value: tagValue }] : [];
  });
}

/** Merges lists of tags: of those with the same key, whatever its case, the last one stands. */
export function mergeTags(...lists: readonly (readonly Tag[])[]): Tag[] {
  const byKey = new Map<string, Tag>();
  for (const tag of lists.flat()) {
    byKey.delete(tag.key.toLowerCase());
    byKey.set(tag.key.toLowerCase(), { key: tag.key, value: tag.value });
  }
  return [...byKey.values()];
}
