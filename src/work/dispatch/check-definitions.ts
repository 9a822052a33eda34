import type { CheckSet, StoredCheck } from "../../store/work/checks.js";

/** A check as an agent is told of it. */
export interface CheckDefinition {
  checkId: string;
  checkType: string;
  /** In the agent's spelling. An agent compares it as text: the same check spelled otherwise is started anew. */
  configJson: string;
  intervalSeconds: number;
}

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

/** What an agent is to be sent, which replaces all the checks it runs; undefined when it needs nothing. */
export function toCheckDefinitions({ checks, everHadAny }: CheckSet): CheckDefinition[] | undefined {
  if (checks.length > 0) return checks.map(toCheckDefinition);
  return everHadAny ? [NO_CHECKS] : undefined;
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
