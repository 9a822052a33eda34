import { HeartbeatEvents } from "../../../dist/heartbeat/events.js";
import type { RawHeartbeatReport } from "../../../dist/heartbeat/heartbeat-report.js";
import { HeartbeatWriter } from "../../../dist/heartbeat/heartbeat-writer.js";
import { INVENTORY_TIMING } from "../../../dist/heartbeat/inventory/inventory-pace.js";
import { Calm } from "../../../dist/heartbeat/presence/calm.js";
import { CloneWatch } from "../../../dist/heartbeat/presence/clone-watch.js";
import { Departures } from "../../../dist/heartbeat/presence/departures.js";
import { OfflineWriter } from "../../../dist/heartbeat/presence/offline-writer.js";
import type { Patience } from "../../../dist/heartbeat/presence/stream-end.js";
import { SessionOpener } from "../../../dist/heartbeat/session-opener.js";
import type { SessionStream } from "../../../dist/heartbeat/session-stream.js";
import { Sessions } from "../../../dist/heartbeat/sessions.js";
import type { Caller } from "../../../dist/identity/caller.js";
import { Pace, type PaceLimit } from "../../../dist/lib/bounds/pace.js";
import { createClosedOutbox } from "../../../dist/outbox/outbox.js";
import type { Database } from "../../../dist/store/database.js";
import type { InventoryTiming } from "../../../dist/store/hosts/host-inventories.js";
import type { AgentRows } from "../database/agent-rows.js";
import { createTestLog, type LogLine } from "../log.js";

/** The sessions of an instance without listeners, and what it logged. */
export interface TestSessions {
  sessions: Sessions;
  calm: Calm;
  offlineWriter: OfflineWriter;
  events: HeartbeatEvents;
  lines: LogLine[];
  /** Holds a session over a stream of the test's, and tells how it ends. */
  hold(caller: Caller, stream: TestSessionStream): Promise<void>;
}

export interface TestSessionsOptions {
  instanceId?: string;
  now?: () => Date;
  patience?: Partial<Patience>;
  inventoryTiming?: InventoryTiming;
  pace?: PaceLimit;
}

export function createTestSessions(
  database: Database,
  { instanceId = "instance-1", now, inventoryTiming = INVENTORY_TIMING, pace, ...options }: TestSessionsOptions = {},
): TestSessions {
  const { logger, lines } = createTestLog();
  const events = new HeartbeatEvents(logger);
  const outbox = createClosedOutbox();
  const offlineWriter = new OfflineWriter({ database, outbox, events });
  const patience = { graceMs: 0, offlineAfterMs: 60_000, ...options.patience };
  const calm = new Calm({ comeBackMs: patience.offlineAfterMs });
  const sessions = new Sessions({
    opener: new SessionOpener({ database, events, instanceId }),
    writer: new HeartbeatWriter({ database, outbox, events, calm, inventoryTiming, commitDelayMs: 0 }),
    cloneWatch: new CloneWatch({ database, outbox, events, policy: { withinS: 20, displacements: 5, locks: false } }),
    departures: new Departures({ offlineWriter, calm, events }),
    patience,
    calm,
    events,
    inventoryTiming,
    pace: new Pace({ perMinute: Number.POSITIVE_INFINITY, burst: 1, ...pace }),
    ...(now && { now }),
  });
  const hold = (caller: Caller, stream: TestSessionStream) => {
    sessions.hold(caller, "192.0.2.1", stream);
    return stream.ended;
  };
  return { sessions, calm, offlineWriter, events, lines, hold };
}

/** As fast as it goes. */
export const AT_ONCE = { perSecond: 1_000_000, withinMs: 0 };

/** A caller that was identified, of an agent that {@link insertAgentRows} made. */
export function callerOf(agent: AgentRows | undefined): Caller {
  if (agent === undefined) throw new Error("no such agent");
  const number = agent.agentId.replace("agent-", "");
  return {
    ...agent,
    hostname: `web-${number}`,
    publicKey: `key ${number}`,
    certificate: {
      serial: number,
      issuerFingerprintSha256: "ca",
      notBefore: new Date(0),
      notAfter: new Date(Date.now() + 86_400_000),
    },
    call: { requestId: `call ${number}` },
  };
}

/** A report, as it came over the wire. */
export function rawReport(fields: Partial<RawHeartbeatReport> = {}): RawHeartbeatReport {
  return {
    results: "none",
    cpuPercent: 1,
    memoryPercent: 2,
    diskPercent: 3,
    uptimeSeconds: 4n,
    timestampUnix: 5n,
    agentVersion: "v1",
    os: "",
    osVersion: "",
    arch: "",
    disks: [],
    networkInterfaces: [],
    ...fields,
  };
}

/** A stream without a network: the test is the agent. */
export class TestSessionStream implements SessionStream {
  readonly #over = new AbortController();
  readonly #reports: (RawHeartbeatReport | undefined)[] = [];
  readonly #waiting: (() => void)[] = [];
  #wake: () => void = () => {};
  /** An agent that reads nothing leaves what is written where it is. */
  reads = true;
  resets = 0;
  end: () => void = () => {};
  fail: (error: unknown) => void = () => {};
  /** Resolves when the session ends it in order, and rejects with what it is to end with otherwise; a test need not look. */
  readonly ended = new Promise<void>((resolve, reject) => {
    this.end = resolve;
    this.fail = reject;
  });

  constructor() {
    this.ended.catch(() => {});
  }

  whenOver(listener: (reason: unknown) => void): void {
    const { signal } = this.#over;
    signal.addEventListener("abort", () => listener(signal.reason));
  }

  /** Sends a report; resolves when it is acknowledged. */
  send(report: RawHeartbeatReport = rawReport()): Promise<void> {
    this.#reports.push(report);
    this.#wake();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Ends the agent's side in order. */
  leave(): void {
    this.#reports.push(undefined);
    this.#wake();
  }

  isCancelled(): boolean {
    return false;
  }

  /** Cuts the connection. */
  cut(): void {
    this.#over.abort(new Error("the connection broke"));
  }

  async read(): Promise<RawHeartbeatReport | undefined> {
    while (this.#reports.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#reports.shift();
  }

  async acknowledge(): Promise<void> {
    if (!this.reads) return new Promise(() => {});
    this.#waiting.shift()?.();
  }

  reset(): void {
    this.resets += 1;
    this.#over.abort(new Error("reset"));
  }
}
