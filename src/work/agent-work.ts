import type { CallingHost } from "./calling-host.js";
import type { Dispatcher } from "./dispatch/dispatcher.js";
import type { Send } from "./push.js";
import type { ReportWriter } from "./reports/report-writer.js";
import { bringsWork, clampWorkReport, type RawWorkReport } from "./reports/work-report.js";
import type { Seat } from "./seats.js";
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

/** What {@link AgentWork} needs. */
export interface AgentWorkOptions {
  dispatcher: Dispatcher;
  reports: ReportWriter;
  signals: Signals;
}

/** Gives agents their work and takes what comes back. */
export class AgentWork {
  constructor(private readonly options: AgentWorkOptions) {}

  /** A session opened: from now on its agent is sent what is due for its host. */
  open(host: CallingHost & { agentId: string }, send: Send): WorkSession {
    return new OpenWork(host, this.options.dispatcher.join(host, send), this.options);
  }
}

/** A class, since functions of its own would be kept for each session. */
class OpenWork implements WorkSession {
  constructor(
    private readonly host: CallingHost,
    private readonly seat: Seat,
    private readonly options: AgentWorkOptions,
  ) {}

  report(message: RawAgentMessage): Promise<void> | undefined {
    const { host, seat, options } = this;
    options.signals.report(seat, message);
    return bringsWork(message) ? options.reports.write(host, clampWorkReport(message, host, new Date())) : undefined;
  }

  close(): void {
    const { seat, options } = this;
    options.dispatcher.leave(seat);
    options.signals.leave(seat);
  }
}
