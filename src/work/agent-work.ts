import type { CallingHost } from "./calling-host.js";
import type { Dispatcher } from "./dispatch/dispatcher.js";
import type { Send } from "./push.js";
import type { ReportWriter } from "./report-writer.js";
import type { Signals } from "./signals/signals.js";
import { bringsWork, clampWorkReport, type RawWorkReport } from "./work-report.js";

/** What one message of an agent says of its work and of itself. */
export interface RawAgentMessage extends RawWorkReport {
  agentVersion: string;
  pinnedFingerprint: string;
}

/** One session's side of the work. */
export interface WorkSession {
  /**
   * Stores what a message brings back; resolves when it is committed, and at once when there is nothing.
   *
   * @throws IngestError `database_unavailable`
   */
  report(message: RawAgentMessage): Promise<void>;
  close(): void;
}

/** Gives agents their work and takes what comes back. */
export class AgentWork {
  constructor(private readonly options: { dispatcher: Dispatcher; reports: ReportWriter; signals: Signals }) {}

  /** A session opened: from now on its agent is sent what is due for its host. */
  open(host: CallingHost & { agentId: string }, send: Send): WorkSession {
    const { dispatcher, reports, signals } = this.options;
    const seat = dispatcher.join(host, send);
    return {
      report: async (message) => {
        signals.report(seat, message);
        if (bringsWork(message)) await reports.write(host, clampWorkReport(message, host, new Date()));
      },
      close: () => {
        dispatcher.leave(seat);
        signals.leave(seat);
      },
    };
  }
}
