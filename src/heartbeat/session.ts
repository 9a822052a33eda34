import type { IngestError } from "../errors.js";
import type { Caller } from "../identity/caller.js";
import type { CertificateReference } from "../identity/client-certificates/certificate-verification.js";
import { findObjection } from "../identity/standing.js";
import type { Pace } from "../lib/bounds/pace.js";
import type { CallLabels } from "../observe/call-labels.js";
import type { SessionKey } from "../store/sessions/agent-sessions.js";
import type { SessionCredentials } from "../store/sessions/session-validity.js";
import { clampVitals, type RawHeartbeatReport } from "./heartbeat-report.js";
import type { CloneWatch } from "./presence/clone-watch.js";
import type { Departures } from "./presence/departures.js";
import type { WatchedSession } from "./presence/silence-watch.js";
import { isDisplacement, type Patience, type StreamOutcome, streamEndOf } from "./presence/stream-end.js";
import { HeartbeatRecorder, type HeartbeatRecorderOptions } from "./recording/heartbeat-recorder.js";
import type { SessionOpener } from "./session-opener.js";
import type { SessionStream } from "./session-stream.js";

/** How long an agent has to take the end of its stream; one that reads nothing would not take it at all. */
const END_TIMEOUT_MS = 1_000;

/** What a {@link Session} works with. */
export interface SessionDependencies extends HeartbeatRecorderOptions {
  opener: SessionOpener;
  departures: Departures;
  cloneWatch: CloneWatch;
  patience: Patience;
  /** Of the heartbeats of each agent. */
  pace: Pace;
}

/** Who holds the sessions of an instance. */
export interface SessionHolder {
  /** The session has its epoch. */
  opened(session: Session): void;
  /** Whether its agent has no newer session here. */
  isCurrent(session: Session): boolean;
  /** Its end is stored. */
  closed(session: Session): void;
}

/**
 * One session of an agent: its stream, from the first message to the end. Whatever comes first ends it, also while
 * something is being read, stored or written: the agent, the connection, or {@link end}. What is under way then goes on,
 * and what becomes of it is nobody's.
 *
 * Most of its life it waits for the next message: no function is under way then, since each would take half a kilobyte of
 * every agent.
 */
export class Session implements WatchedSession {
  readonly certificate: CertificateReference;
  readonly #startedAt = performance.now();
  #epoch = 0;
  readonly #recorder: HeartbeatRecorder;
  /** Since when the next message is waited for, as `performance.now()` tells it. */
  #readingSince = Number.POSITIVE_INFINITY;
  #heardAt = 0;
  isKnownSilent = false;
  #doing: "read" | "store" | "acknowledge" = "read";
  #finishing: IngestError | undefined;
  /** Nothing is read or written any more. */
  #isOver = false;
  /** What is under way in the database: it goes on when the stream ends, and what is written of that end follows it. */
  #storing: Promise<unknown> | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    private readonly caller: Caller,
    private readonly remoteAddress: string,
    private readonly stream: SessionStream,
    private readonly dependencies: SessionDependencies,
    private readonly holder: SessionHolder,
  ) {
    this.certificate = caller.certificate;
    this.#recorder = new HeartbeatRecorder(dependencies);
  }

  /** To be compared with what is on record. */
  get credentials(): SessionCredentials {
    const { agentId, organisationId, hostId, publicKey, certificate } = this.caller;
    return { agentId, organisationId, hostId, publicKey, serial: certificate.serial, epoch: this.#epoch };
  }

  /** Its epoch is 0 until it has one. */
  get key(): SessionKey {
    const { agentId, hostId, organisationId } = this.caller;
    return { agentId, hostId, organisationId, epoch: this.#epoch };
  }

  /** What the log lines of its stream have in common. */
  get call(): CallLabels {
    return this.caller.call;
  }

  /** How long ago its stream began, in milliseconds. */
  get ageMs(): number {
    return performance.now() - this.#startedAt;
  }

  get silentMs(): number {
    const { calm } = this.dependencies;
    if (this.#doing !== "read" || this.#epoch === 0) return 0;
    return Math.max(0, performance.now() - Math.max(this.#readingSince, calm.since));
  }

  get patienceMs(): number {
    return Math.max(this.dependencies.patience.offlineAfterMs, 2 * (this.#recorder.interval.ms ?? 0));
  }

  /** Ends the stream with this error, at once. Of several calls the first one counts. */
  end(error: IngestError): void {
    this.#fail(error);
  }

  /** Does so as soon as what was read from it is acknowledged. */
  finish(error: IngestError): void {
    this.#finishing ??= error;
    if (this.#doing === "read") this.end(error);
    if (this.#doing === "acknowledge") this.#endSoon(error);
  }

  /** Holds the session for as long as its stream lasts, which is told how it is to end. */
  start(): void {
    this.stream.whenOver((reason) => this.#fail(reason, this.stream.isCancelled()));
    this.#read();
  }

  #read(): void {
    this.#doing = "read";
    if (this.#finishing !== undefined) this.end(this.#finishing);
    if (this.#isOver) return;
    const { pace, events } = this.dependencies;
    const { agentId } = this.caller;
    const waitMs = pace.take(agentId);
    if (waitMs === 0) {
      this.#listen();
      return;
    }
    // Who sends more than an agent needs to is read more slowly: nothing of it is lost, and the wait is no silence.
    events.heartbeatDelayed(agentId, waitMs);
    this.#readingSince = Number.POSITIVE_INFINITY;
    setTimeout(() => this.#listen(), waitMs).unref();
  }

  #listen(): void {
    if (this.#isOver) return;
    this.#readingSince = performance.now();
    this.stream.read().then(this.#hear, this.#fail);
  }

  readonly #hear = async (report: RawHeartbeatReport | undefined): Promise<void> => {
    if (this.#isOver) return;
    this.#doing = "store";
    this.isKnownSilent = false;
    this.#heardAt = performance.now();
    try {
      if (report !== undefined) await this.#handle(report);
      else {
        // Who ends its stream in order is told that it ended when it shows.
        await this.#close({ isCancelled: false });
        this.#letGo(() => this.stream.end());
      }
    } catch (error) {
      this.#fail(error);
    }
  };

  async #handle(report: RawHeartbeatReport): Promise<void> {
    if (this.#epoch === 0) await this.#open(report);
    if (this.#isOver) return;
    await this.#store(this.#recorder.record(this.key, report, this.#heardAt));
    if (this.#isOver) return;
    this.#doing = "acknowledge";
    if (this.#finishing !== undefined) this.#endSoon(this.#finishing);
    await this.stream.acknowledge();
    if (this.#isOver) return;
    this.dependencies.events.heartbeatAcknowledged({ durationMs: performance.now() - this.#heardAt });
    this.#read();
  }

  /** It is stored, but an agent that reads nothing would never take the acknowledgement. */
  #endSoon(error: IngestError): void {
    setTimeout(() => this.end(error), END_TIMEOUT_MS).unref();
  }

  async #open(first: RawHeartbeatReport): Promise<void> {
    const { remoteAddress } = this;
    const { agentId, hostname } = this.caller;
    const { opener, events } = this.dependencies;
    const { uptimeSeconds } = clampVitals(first);
    // The caller was identified before its first message, and who changes the record finds the session only now.
    const doubt = await opener.findDoubt(this.credentials);
    if (this.#isOver) return;
    const objection = doubt && findObjection(agentId, doubt);
    if (objection !== undefined) throw objection;
    const opening = opener.open({ agentId, remoteAddress, hostname, uptimeSeconds }, () => this.#isOver);
    await this.#store(
      opening.then(({ epoch, intervalMs }) => {
        this.#epoch = epoch;
        this.#recorder.interval.startWith(intervalMs);
        events.sessionOpened({ ...this.key, hostname, remoteAddress, ...this.call });
        this.holder.opened(this);
      }),
    );
  }

  readonly #fail = (error: unknown, isCancelled = false): void =>
    this.#letGo(() => {
      void this.#close({ error, isCancelled });
      this.stream.fail(error);
    });

  #letGo(end: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    end();
    setTimeout(() => this.stream.reset(), END_TIMEOUT_MS).unref();
  }

  #close(outcome: StreamOutcome): Promise<void> {
    this.#closing ??= this.#storeEnd(outcome);
    return this.#closing;
  }

  /** Sees to it that the agent is marked offline if this stays its current session. */
  async #storeEnd(outcome: StreamOutcome): Promise<void> {
    const { departures, patience, events, cloneWatch } = this.dependencies;
    await this.#storing?.catch(() => {});
    try {
      if (this.#epoch === 0) return;
      const life = { durationMs: Math.round(this.ageMs), heartbeats: this.#recorder.count };
      events.sessionClosed({ ...this.key, ...life, ...this.call });
      // It was live until then: what the service sees end by itself is not displaced.
      if (isDisplacement(outcome)) cloneWatch.report({ ...this.key, ...this.#peer }, this.call);
      const end = streamEndOf(outcome, patience);
      if (end !== undefined) await departures.depart(this.key, end, () => !this.holder.isCurrent(this));
    } finally {
      this.holder.closed(this);
    }
  }

  get #peer() {
    const { remoteAddress, caller } = this;
    return { remoteAddress, hostname: caller.hostname, uptimeSeconds: this.#recorder.uptimeSeconds };
  }

  #store<T>(work: Promise<T>): Promise<T> {
    this.#storing = work;
    return work;
  }
}
