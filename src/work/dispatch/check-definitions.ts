import type { CheckSet, StoredCheck } from "../../store/work/checks.js";
import { MAX_PUSH_BYTES } from "../max-push-bytes.js";

/** A check as an agent is told of it. */
export interface CheckDefinition {
  checkId: string;
  checkType: string;
  /** In the agent's spelling. An agent compares it as text: the same check spelled otherwise is started anew. */
  configJson: string;
  intervalSeconds: number;
}

/** What a definition takes beside its texts, at most: tags, lengths, the interval. */
const OVERHEAD_BYTES = 40;

const LONGEST_INTERVAL_S = 2_147_483_647;

/**
 * Stands for no checks at all: an empty list changes nothing at a released agent, and the last check would run for ever.
 * It reports an error once, which is dropped.
 */
export const NO_CHECKS: CheckDefinition = {
  checkId: "no-checks",
  checkType: "none",
  configJson: "{}",
  intervalSeconds: LONGEST_INTERVAL_S,
};

/** What the web app and the agents spell differently: the web app's name to the agent's. */
const SPELLINGS = new Map([
  ["filePath", "file_path"],
  ["serverName", "server_name"],
  ["timeoutSeconds", "timeout_seconds"],
]);

/** What an agent is to be sent, which replaces all the checks it runs. */
export interface CheckList {
  /** Empty when the agent needs nothing. */
  checks: CheckDefinition[];
  /** Ids of those that do not fit into one message with the others. */
  leftOut: string[];
}

/** The list that an agent is to be sent. What does not fit is left out, the largest first: so most of them are run. */
export function toCheckList({ checks, everHadAny }: CheckSet): CheckList {
  const definitions = checks.map(toCheckDefinition);
  const sizes = new Map(definitions.map((definition) => [definition, sizeOf(definition)]));
  const bySize = [...sizes].sort(([, one], [, other]) => one - other);
  let bytes = 0;
  const leftOut = new Set<CheckDefinition>();
  for (const [definition, size] of bySize) {
    bytes += size;
    if (bytes > MAX_PUSH_BYTES) leftOut.add(definition);
  }
  const fitting = definitions.filter((definition) => !leftOut.has(definition));
  return {
    checks: fitting.length === 0 && everHadAny ? [NO_CHECKS] : fitting,
    leftOut: [...leftOut].map(({ checkId }) => checkId),
  };
}

function sizeOf({ checkId, checkType, configJson }: CheckDefinition): number {
  return OVERHEAD_BYTES + Buffer.byteLength(checkId) + Buffer.byteLength(checkType) + Buffer.byteLength(configJson);
}

function toCheckDefinition({ id, type, configText, intervalSeconds }: StoredCheck): CheckDefinition {
  return { checkId: id, checkType: type, configJson: respell(configText), intervalSeconds };
}

/** Text without a name that is spelled differently stays as it is, to the character. */
function respell(configText: string): string {
  if (![...SPELLINGS.keys()].some((name) => configText.includes(name))) return configText;
  const config: unknown = JSON.parse(configText);
  if (typeof config !== "object" || config === null || Array.isArray(config)) return configText;
  const entries = Object.entries(config);
  const names = new Set(entries.map(([name]) => name));
  return JSON.stringify(
    Object.fromEntries(
      entries.map(([name, value]) => {
        const spelled = SPELLINGS.get(name);
        return [spelled === undefined || names.has(spelled) ? name : spelled, value];
      }),
    ),
  );
}
