import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import type { HeartbeatResponse } from "#gen/agent/v1/heartbeat_pb.js";
import { backoffDelayMs } from "../lib/async/backoff.js";
import type { AgentKey } from "./agent-key.js";
import { AgentWork } from "./agent-work.js";
import type { ClientCredentials, ServiceAddress } from "./connection.js";
import { type HeartbeatStream, openHeartbeatStream, type Vitals } from "./heartbeat-stream.js";
import { submitInventory } from "./inventory.js";
import { type AgentDescription, type AgentIdentity, AgentRevokedError, enrol } from "./register.js";
import { isRenewalDue, renewCertificate } from "./renew.js";
import type { WorkHandlers } from "./work-handlers.js";

const RECONNECT = { baseMs: 1_000, maxMs: 60_000 };
/** A stream that lived this long was a good one: the next failure starts the backoff anew. */
const GOOD_STREAM_MS = 10_000;
/** With these the service says that the identity is no good: it is forgotten, and asked for again. */
const IDENTITY_REFUSED: readonly Code[] = [Code.NotFound, Code.PermissionDenied, Code.Unauthenticated];

/** What an {@link Agent} tells of what it does. */
export interface AgentObserver {
  /** It waits for approval; told again at each poll. */
  onPending?(agentId: string): void;
  onEnrolled?(identity: AgentIdentity): void;
  /** The client certificate was renewed. */
  onRenewed?(identity: AgentIdentity): void;
  onStreamOpened?(): void;
  onStreamClosed?(): void;
  onHeartbeatSent?(): void;
  /** @param latencyMs from sending to the acknowledgement */
  onAcknowledged?(latencyMs: number): void;
  /** The service asks for something: checks, a query, a task. */
  onPush?(response: HeartbeatResponse): void;
  /** An attempt failed; the agent tries again, unless it was revoked. */
  onError?(error: unknown): void;
}

/** What an {@link Agent} is made of. */
export interface AgentOptions extends ServiceAddress {
  key: AgentKey;
  token: string;
  description: AgentDescription;
  /** Reads what the next heartbeat reports. */
  readVitals: () => Vitals;
  heartbeatIntervalMs: number;
  /** What it does of what the service asks for; without, results are left to the observer of pushes. */
  work?: WorkHandlers;
  /** What it was given before it was stopped; without, it registers. */
  identity?: AgentIdentity;
  observer?: AgentObserver;
}

/** An agent: it enrols, holds a heartbeat stream, and comes back when that breaks. */
export class Agent {
  readonly #stopping = new AbortController();
  #identity: AgentIdentity | undefined;
  /** Presented when registering again, stale or not, as installed agents do. */
  #credentials: ClientCredentials | undefined;
  #stream: HeartbeatStream | undefined;
  /** When the current stream was first acknowledged. */
  #openedAt: number | undefined;
  #running: Promise<void> | undefined;
  readonly #work: AgentWork | undefined;
  /** Sends the next heartbeat now. */
  #endRest: () => void = () => {};

  constructor(private readonly options: AgentOptions) {
    this.#identity = options.identity;
    this.#credentials = options.identity;
    this.#work = options.work && this.#prepareWork(options.work);
  }

  /** Starts the agent. */
  start(): void {
    this.#running ??= this.#run().finally(() => this.#work?.stop());
  }

  /** Ends the stream, and resolves when nothing of the agent is left. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#stream?.destroy();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { observer } = this.options;
    const { signal } = this.#stopping;
    let failures = 0;
    let wasRefused = false;
    while (!signal.aborted) {
      let isRefused = false;
      let onStream = false;
      this.#openedAt = undefined;
      try {
        this.#identity ??= await this.#enrol();
        this.#identity = await this.#renewIfDue(this.#identity);
        onStream = true;
        await this.#holdStream(this.#identity);
      } catch (error) {
        if (signal.aborted) return;
        observer?.onError?.(error);
        if (error instanceof AgentRevokedError) return;
        isRefused = IDENTITY_REFUSED.includes(ConnectError.from(error).code);
        if (isRefused) this.#identity = undefined;
      }
      const wasGood = this.#openedAt !== undefined && performance.now() - this.#openedAt >= GOOD_STREAM_MS;
      failures = wasGood ? 1 : failures + 1;
      // At once, but not over and over when the new identity is refused too.
      const registersAtOnce = isRefused && onStream && (wasGood || !wasRefused);
      wasRefused = isRefused;
      if (registersAtOnce) continue;
      await delay(backoffDelayMs(failures, RECONNECT), undefined, { signal }).catch(() => {});
    }
  }

  #prepareWork(handlers: WorkHandlers): AgentWork {
    return new AgentWork({
      handlers,
      upload: (scanId, inventory, signal) => {
        if (this.#identity === undefined) throw new Error("the agent has no identity at the moment");
        return submitInventory({ ...this.options, identity: this.#identity, scanId, inventory, signal });
      },
      onResult: () => this.#endRest(),
    });
  }

  async #enrol(): Promise<AgentIdentity> {
    const identity = await enrol({
      ...this.options,
      ...(this.#credentials && { credentials: this.#credentials }),
      onPending: (agentId) => this.options.observer?.onPending?.(agentId),
      signal: this.#stopping.signal,
    });
    this.#credentials = identity;
    this.options.observer?.onEnrolled?.(identity);
    return identity;
  }

  /** Only before a stream is opened. A renewal that fails costs nothing: the certificate is good for a while yet. */
  async #renewIfDue(identity: AgentIdentity): Promise<AgentIdentity> {
    if (!isRenewalDue(identity.certificatePem)) return identity;
    const { signal } = this.#stopping;
    try {
      const renewed = await renewCertificate({ ...this.options, identity, signal });
      this.#credentials = renewed;
      this.options.observer?.onRenewed?.(renewed);
      return renewed;
    } catch (error) {
      signal.throwIfAborted();
      this.options.observer?.onError?.(error);
      return identity;
    }
  }

  async #holdStream(identity: AgentIdentity): Promise<void> {
    const { heartbeatIntervalMs, observer, readVitals } = this.options;
    const stream = openHeartbeatStream(this.options, identity, {
      onPush: (response) => {
        this.#work?.take(response);
        observer?.onPush?.(response);
      },
    });
    this.#stream = stream;
    let isOver = false;
    let endedWith: unknown;
    void stream.closed.then((error) => {
      endedWith = error;
      isOver = true;
      this.#endRest();
    });
    let isOpen = false;
    try {
      while (!isOver) {
        const sentAt = performance.now();
        observer?.onHeartbeatSent?.();
        await stream.send({ ...readVitals(), ...this.#work?.collect() });
        if (!isOpen) observer?.onStreamOpened?.();
        isOpen = true;
        this.#openedAt ??= performance.now();
        observer?.onAcknowledged?.(performance.now() - sentAt);
        const restMs = Math.max(0, heartbeatIntervalMs - (performance.now() - sentAt));
        const rest = new AbortController();
        this.#endRest = () => rest.abort();
        if (isOver || this.#work?.isAwaited) rest.abort();
        await delay(restMs, undefined, { signal: rest.signal }).catch(() => {});
      }
      if (endedWith !== undefined) throw endedWith;
    } finally {
      stream.destroy();
      this.#work?.forgetStream();
      if (isOpen) observer?.onStreamClosed?.();
    }
  }
}
