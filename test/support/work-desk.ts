import type { Test } from "tap";
import { createLogger } from "../../dist/observe/logger.js";
import { type Database, openDatabase } from "../../dist/store/database.js";
import { WorkEvents } from "../../dist/work/events.js";
import type { Push } from "../../dist/work/push.js";
import type { ReportWriter } from "../../dist/work/reports/report-writer.js";
import { clampWorkReport, type RawWorkReport, type WorkReport } from "../../dist/work/reports/work-report.js";
import type { TestDatabase } from "./database/database.js";
import type { TestHost } from "./database/work-rows.js";
import { eventually } from "./eventually.js";

/** The product's own access to a test's database. */
export function openStore(t: Test, { url }: TestDatabase, maxConnections = 4): Database {
  const store = openDatabase({ url, maxConnections });
  t.teardown(() => store.close());
  return store;
}

/** Events that nobody reads, or that are gathered as lines. */
export function quietEvents(): WorkEvents {
  return new WorkEvents(createLogger("silent"));
}

const NOTHING: RawWorkReport = { checkResults: [], queryResults: [], taskProgress: [], taskResults: [] };

/** What an agent reports that has a part of what it may bring back. */
export function reportOf(host: TestHost, part: Partial<RawWorkReport>, receivedAt = new Date()): WorkReport {
  return clampWorkReport({ ...NOTHING, ...part }, host, receivedAt);
}

/** Has agents report to this writer. */
export function reportTo(writer: ReportWriter) {
  return (host: TestHost, part: Partial<RawWorkReport>, receivedAt?: Date): Promise<void> =>
    writer.write(host, reportOf(host, part, receivedAt));
}

/** An agent that takes what it is sent, and remembers it. */
export class RecordingAgent {
  readonly pushes: Push[] = [];
  /** Whether it takes what it is sent. */
  reads = true;
  /** What it was offered while it took nothing. */
  refused = 0;

  readonly send = async (push: Push): Promise<boolean> => {
    if (this.reads) this.pushes.push(push);
    else this.refused += 1;
    return this.reads;
  };

  /** All it was sent of one kind, in the order it came. */
  of<K extends Push["kind"]>(kind: K): Extract<Push, { kind: K }>[] {
    return this.pushes.filter((push): push is Extract<Push, { kind: K }> => push.kind === kind);
  }

  /** Waits until it has so many of one kind. */
  async receives<K extends Push["kind"]>(kind: K, count = 1): Promise<Extract<Push, { kind: K }>[]> {
    return eventually(
      async () => this.of(kind),
      (pushes) => pushes.length >= count,
    );
  }
}
