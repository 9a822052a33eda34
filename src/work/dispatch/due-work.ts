import type { Seat } from "../seats.js";

/** Something may be due. */
export type WorkHint =
  | { kind: "checks" | "queries" | "tasks"; hostId: string }
  /** Rows of a task run changed. */
  | { kind: "run"; runId: string }
  /** A session opened. */
  | { kind: "session"; seat: Seat }
  | { kind: "everything" };

/** What is to be read next; the same hint twice is one. */
export class DueWork {
  readonly checks = new Set<string>();
  readonly queries = new Set<string>();
  readonly tasks = new Set<string>();
  readonly runs = new Set<string>();
  readonly sessions = new Set<Seat>();
  everything = false;

  add(hint: WorkHint): void {
    if (hint.kind === "everything") this.everything = true;
    else if (hint.kind === "session") this.sessions.add(hint.seat);
    else if (hint.kind === "run") this.runs.add(hint.runId);
    else this[hint.kind].add(hint.hostId);
  }

  get isEmpty(): boolean {
    const sets = [this.checks, this.queries, this.tasks, this.runs, this.sessions];
    return !this.everything && sets.every(({ size }) => size === 0);
  }

  /** Takes all of it; what is added from now on is for the next time. */
  take(): DueWork {
    const taken = new DueWork();
    taken.putBack(this);
    for (const set of [this.checks, this.queries, this.tasks, this.runs, this.sessions]) set.clear();
    this.everything = false;
    return taken;
  }

  /** Adds what was taken and could not be done. */
  putBack(due: DueWork): void {
    for (const kind of ["checks", "queries", "tasks", "runs"] as const) {
      for (const id of due[kind]) this[kind].add(id);
    }
    for (const seat of due.sessions) this.sessions.add(seat);
    this.everything ||= due.everything;
  }
}
