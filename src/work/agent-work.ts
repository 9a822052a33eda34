import type { CallingHost } from "./calling-host.js";
import type { Dispatcher } from "./dispatch/dispatcher.js";
import type { Send } from "./push.js";
import type { ReportWriter } from "./reports/report-writer.js";
import { bringsWork, clampWorkReport, type RawWorkReport } from "./reports/work-report.js";
import type { Signals } from "./signals/signals.js";

/** What one message of an agent says of its work and of itself. */
export interface RawAgentMessage extends RawWorkReport {
  agentVersion: string;
  pinnedFingerprint: string;
}

/** One session's side of the work. */
export interface WorkSession {
  /**
   * Stores what a message brings back; resolves when it is committed. Undefined when there is nothing, as with most.
   *
   * @throws IngestError `database_unavailable`
   */
  report(message: RawAgentMessage): Promise<void> | undefined;
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
      report: (message) => {
        signals.report(seat, message);
        return bringsWork(message) ? reports.write(host, clampWorkReport(message, host, new Date())) : undefined;
      },
      close: () => {
        dispatcher.leave(seat);
        signals.leave(seat);
      },
    };
  }
}
