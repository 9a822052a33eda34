/** What an operator did, and who: a command of this service, and the user of the machine that it ran on. */
export interface OperatorAct {
  /** Such as `agent revoke`. */
  command: string;
  user: string;
}

const ACT = / \((ct-ops-ingest [a-z ]+) by ([^()]+)\)$/;

/** The reason for a change, and whose act it was: the platform's history has no other place for who is none of its users. */
export function reasonOf(reason: string, act: OperatorAct | undefined): string {
  return act === undefined ? reason : `${reason} (ct-ops-ingest ${act.command} by ${act.user.replace(/[()]/g, "")})`;
}

/** Takes such a reason apart. */
export function readReason(reason: string): { reason: string; by: string | undefined } {
  const [found, command, user] = ACT.exec(reason) ?? [];
  if (found === undefined) return { reason, by: undefined };
  return { reason: reason.slice(0, -found.length), by: `${user} (${command})` };
}
