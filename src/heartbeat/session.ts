import type { IngestError } from "../errors.js";
import type { Caller } from "../identity/caller.js";
import type { CertificateReference } from "../identity/client-certificates/certificate-verification.js";
import { findObjection } from "../identity/standing.js";
import { Interruption } from "../lib/async/interruption.js";
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
}

/**
 * One session of an agent: its stream, from the first message to the end. Whatever comes first ends it, also while
 * something is being read, stored or written: the agent, the connection, or {@link end}.
 */
export class Session implements WatchedSession {
  readonly certificate: CertificateReference;
  readonly #startedAt = performance.now();
  readonly #interruption = new Interruption();
  #epoch = 0;
  readonly #recorder: HeartbeatRecorder;
  /** Since when the next message is waited for, as `performance.now()` tells it. */
  #readingSince = Number.POSITIVE_INFINITY;
  #heardAt = 0;
  isKnownSilent = false;
  #doing: "read" | "store" | "acknowledge" = "read";
  #finishing: IngestError | undefined;
  /** What is under way in the database: it goes on when the stream ends, and what is written of that end follows it. */
  #storing: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #settleClosed: () => void = () => {};
  /** Resolves when its end is stored. */
  readonly closed = new Promise<void>((resolve) => {
    this.#settleClosed = resolve;
  });

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

  /** What it was opened with, to be compared with what is on record. */
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
    this.#interruption.interrupt(error);
  }

  /** Ends the stream with this error as soon as what was read from it is acknowledged. */
  finish(error: IngestError): void {
    this.#finishing ??= error;
    if (this.#doing === "read") this.end(error);
    if (this.#doing === "acknowledge") this.#endSoon(error);
  }

  /**
   * Holds the session for as long as its stream lasts. Resolves when the agent has ended it in order; what the stream is
   * to end with otherwise is what this rejects with.
   */
  async run(): Promise<void> {
    const { over } = this.stream;
    const outcome: StreamOutcome = { isCancelled: false };
    const onOver = () => {
      outcome.isCancelled = this.stream.isCancelled();
      this.#interruption.interrupt(over.reason);
    };
    over.addEventListener("abort", onOver, { once: true });
    try {
      if (over.aborted) onOver();
      await this.#serve();
      // Who ends its stream in order is told that it ended when it shows.
      await this.#interruption.wait(() => this.#close(outcome));
    } catch (error) {
      outcome.error = error;
      throw error;
    } finally {
      over.removeEventListener("abort", onOver);
      void this.#close(outcome);
      setTimeout(() => this.stream.reset(), END_TIMEOUT_MS).unref();
    }
  }

  async #serve(): Promise<void> {
    const first = await this.#read();
    if (first === undefined) return;
    await this.#open(first);
    for (let next: RawHeartbeatReport | undefined = first; next !== undefined; next = await this.#read()) {
      const report = next;
      await this.#interruption.wait(() => this.#store(this.#recorder.record(this.key, report, this.#heardAt)));
      this.#doing = "acknowledge";
      if (this.#finishing !== undefined) this.#endSoon(this.#finishing);
      await this.#interruption.wait(() => this.stream.acknowledge());
      this.dependencies.events.heartbeatAcknowledged({ durationMs: performance.now() - this.#heardAt });
    }
  }

  async #read(): Promise<RawHeartbeatReport | undefined> {
    if (this.#finishing !== undefined) throw this.#finishing;
    this.#doing = "read";
    const waitMs = this.#takeTurn();
    if (waitMs > 0) {
      // Waiting for its turn is no silence of the agent.
      this.#readingSince = Number.POSITIVE_INFINITY;
      await this.#interruption.wait(() => new Promise<void>((resolve) => setTimeout(resolve, waitMs).unref()));
    }
    this.#readingSince = performance.now();
    const report = await this.#interruption.wait(() => this.stream.read());
    this.#doing = "store";
    this.isKnownSilent = false;
    this.#heardAt = performance.now();
    return report;
  }

  /**
   * An agent that sends more than an agent needs to is read more slowly: nothing of what it sends is lost. Returns for how
   * long it waits, in milliseconds.
   */
  #takeTurn(): number {
    const { pace, events } = this.dependencies;
    const { agentId } = this.caller;
    const waitMs = pace.take(agentId);
    if (waitMs > 0) events.heartbeatDelayed(agentId, waitMs);
    return waitMs;
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
    const doubt = await this.#interruption.wait(() => opener.findDoubt(this.credentials));
    const objection = doubt && findObjection(agentId, doubt);
    if (objection !== undefined) throw objection;
    await this.#interruption.wait(() =>
      this.#store(
        opener.open({ agentId, remoteAddress, hostname, uptimeSeconds }).then(({ epoch, intervalMs }) => {
          this.#epoch = epoch;
          this.#recorder.interval.startWith(intervalMs);
          events.sessionOpened({ ...this.key, hostname, remoteAddress, ...this.call });
          this.holder.opened(this);
        }),
      ),
    );
  }

  #close(outcome: StreamOutcome): Promise<void> {
    this.#closing ??= this.#storeEnd(outcome);
    return this.#closing;
  }

  /** Sees to it that the agent is marked offline if this stays its current session. */
  async #storeEnd(outcome: StreamOutcome): Promise<void> {
    const { departures, patience, events } = this.dependencies;
    await this.#storing.catch(() => {});
    try {
      if (this.#epoch === 0) return;
      const life = { durationMs: Math.round(this.ageMs), heartbeats: this.#recorder.count };
      events.sessionClosed({ ...this.key, ...life, ...this.call });
      if (isDisplacement(outcome)) this.#reportDisplacement();
      const end = streamEndOf(outcome, patience);
      if (end !== undefined) await departures.depart(this.key, end, () => !this.holder.isCurrent(this));
    } finally {
      this.#settleClosed();
    }
  }

  /** It was live until then: what the service sees end by itself is not displaced. */
  #reportDisplacement(): void {
    const { cloneWatch, events } = this.dependencies;
    const { remoteAddress, key, call } = this;
    events.sessionDisplaced();
    const peer = { remoteAddress, hostname: this.caller.hostname, uptimeSeconds: this.#recorder.uptimeSeconds };
    cloneWatch.report({ ...key, ...peer }).catch((error) => events.displacementNotCounted({ ...key, ...call, error }));
  }

  #store<T>(work: Promise<T>): Promise<T> {
    this.#storing = work;
    return work;
  }
}
