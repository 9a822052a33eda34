import type { RawHeartbeatReport } from "./heartbeat-report.js";

/** The stream that a session is held over. One thing is done with it at a time: either something is read or written. */
export interface SessionStream {
  /**
   * The next report; undefined when the agent has ended its side. Rejects with what is wrong with the message.
   */
  read(): Promise<RawHeartbeatReport | undefined>;
  /** Acknowledges the report that was read last; resolves when the transport has taken it. */
  acknowledge(): Promise<void>;
  /** Ends it in order. */
  end(): void;
  /** Ends it with this error. */
  fail(error: unknown): void;
  /** Has a listener called when the stream is over, whoever ended it, and whatever is under way; at once if it is. */
  whenOver(listener: (reason: unknown) => void): void;
  /** Whether it is over because the agent took the call back, on a connection that goes on. */
  isCancelled(): boolean;
  /** Ends the stream without a word, and whatever is still to be written; nothing happens to one that is over. */
  reset(): void;
}
