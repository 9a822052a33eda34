import { SummedUp } from "../lib/async/summed-up.js";
import type { CallLabels } from "../observe/call-labels.js";
import type { Logger } from "../observe/logger.js";
import { Metrics } from "../observe/metrics.js";
import type { AgentStatus } from "../store/agents/agents.js";
import type { Suspicion } from "../store/sessions/contests.js";
import type { InventoryCut } from "./inventory/host-inventory.js";

/** What is told of two machines that may have one identity. */
export interface SuspectedClone extends Suspicion {
  organisationId: string;
}

/** A machine that has too much has it in every heartbeat. */
const CUTS_PERIOD_MS = 60 * 60 * 1000;
const DELAYS_PERIOD_MS = 60 * 1000;
/** Agents that are named; all further ones are one sum. */
const MAX_SUMMED_AGENTS = 100;

interface AgentRef {
  agentId: string;
  organisationId: string;
  hostId: string;
}

/** The business events of the heartbeat: each writes what is to be known of it, in one place. */
export class HeartbeatEvents {
  readonly #cuts: SummedUp<InventoryCut>;
  readonly #delays: SummedUp<number>;
  readonly #metrics: Metrics;

  constructor(
    private readonly logger: Logger,
    { cutsPeriodMs = CUTS_PERIOD_MS, metrics = new Metrics() } = {},
  ) {
    this.#metrics = metrics;
    this.#cuts = new SummedUp({
      tell: (agentId, left, heartbeats) => logger.warn({ agentId, ...left, heartbeats }, "an inventory was cut"),
      add: (sum, more) => ({
        disks: sum.disks + more.disks,
        interfaces: sum.interfaces + more.interfaces,
        addresses: sum.addresses + more.addresses,
      }),
      periodMs: cutsPeriodMs,
      maxKeys: MAX_SUMMED_AGENTS,
      otherKey: "others",
    });
    this.#delays = new SummedUp({
      tell: (agentId, sumMs, heartbeats) =>
        logger.warn(
          { agentId, heartbeats, delayedMs: Math.round(sumMs) },
          "an agent sends too fast, it is read more slowly",
        ),
      add: (sum, more) => sum + more,
      periodMs: DELAYS_PERIOD_MS,
      maxKeys: MAX_SUMMED_AGENTS,
      otherKey: "others",
    });
  }

  /** An agent opened a stream. */
  sessionOpened(event: AgentRef & CallLabels & { hostname: string; epoch: number; remoteAddress: string }): void {
    this.#metrics.sessionsOpened.inc();
    this.logger.info(event, "heartbeat stream opened");
  }

  /** A stream ended. */
  sessionClosed(event: AgentRef & CallLabels & { epoch: number; durationMs: number; heartbeats: number }): void {
    this.logger.info(event, "heartbeat stream ended");
  }

  /** A stream was ended by a newer one of its agent. */
  sessionDisplaced(): void {
    this.#metrics.sessionsDisplaced.inc();
  }

  /** Heartbeats were written together, as far as they could be. */
  heartbeatsWritten(event: { stored: number; failed: number; durationMs: number }): void {
    const { stored, failed, durationMs } = event;
    this.#metrics.heartbeatsStored.inc(stored);
    this.#metrics.heartbeatsFailed.inc(failed);
    this.#metrics.batchSize.observe(stored + failed);
    this.#metrics.commitDuration.observe(durationMs / 1000);
  }

  /** A heartbeat was acknowledged. */
  heartbeatAcknowledged({ durationMs }: { durationMs: number }): void {
    this.#metrics.acknowledgementDuration.observe(durationMs / 1000);
  }

  /** An agent reports more disks, interfaces or addresses than are stored: told at once, then summed up once an hour. */
  inventoryCut(agentId: string, left: InventoryCut): void {
    this.#cuts.count(agentId, left);
  }

  /** An agent sends faster than it is read: told at once, then summed up once a minute. */
  heartbeatDelayed(agentId: string, delayMs: number): void {
    this.#delays.count(agentId, delayMs);
  }

  /** A stream was ended so that its agent takes a certificate of the agent CA that signs now. */
  sessionMoved(event: AgentRef & CallLabels & { epoch: number; issuerFingerprintSha256: string }): void {
    this.logger.info(event, "heartbeat stream ended to move its agent to the current agent CA");
  }

  /** An agent's status changed by what its stream did. */
  statusChanged(event: { agentId: string; status: AgentStatus; reason: string }): void {
    if (event.status === "offline") this.#metrics.agentsOffline.inc({ cause: event.reason });
    this.logger.info(event, "agent status changed");
  }

  /** The database refused a batch for a passing reason; it is tried again. */
  writeRetried(event: { items: number; attempt: number; error: unknown }): void {
    const { error, ...rest } = event;
    this.#metrics.databaseErrors.inc({ operation: "heartbeats" });
    this.logger.warn({ ...rest, err: error }, "database write failed, trying again");
  }

  /** The connection that hears of revocations broke, or could not be made; scans find what it misses. */
  listenerDisconnected(event: { attempt: number; error: unknown }): void {
    const { error, ...rest } = event;
    this.#metrics.databaseErrors.inc({ operation: "listening" });
    this.logger.warn({ ...rest, err: error }, "not listening for changes in the database, connecting again");
  }

  /** The database did not say whether these sessions may go on; they are looked at again with the next scan. */
  identityCheckFailed(event: { sessions: number; error: unknown }): void {
    const { error, ...rest } = event;
    this.logger.warn({ ...rest, err: error }, "sessions could not be checked against the database");
  }

  /** Two machines take turns with one identity. */
  cloneSuspected({ agentId, organisationId, displacements, peers, isLocked }: SuspectedClone): void {
    const fields = { agentId, organisationId, displacements, peers };
    this.#metrics.suspectedClones.inc();
    if (isLocked) this.logger.error(fields, "two machines seem to have the identity of one agent, both are locked out");
    else this.logger.warn(fields, "two machines seem to have the identity of one agent");
  }

  /** How often streams displaced each other could not be counted. */
  displacementNotCounted(event: AgentRef & CallLabels & { error: unknown }): void {
    const { error, ...rest } = event;
    this.logger.warn({ ...rest, err: error }, "a displaced stream could not be counted");
  }

  /** This instance could not tell the others that it runs; it goes on trying. */
  presenceFailed(event: { error: unknown }): void {
    this.logger.warn({ err: event.error }, "the other instances could not be told that this one runs");
  }

  /** The database went away, or came back. */
  calmChanged({ isAway }: { isAway: boolean }): void {
    if (isAway) this.logger.warn("nothing can be written, streams wait and nobody is marked offline");
    else this.logger.info("the database can be written again, agents have their time to come back");
  }

  /** What ended instances left could not be looked for; it is looked for again. */
  sweepFailed(event: { error: unknown }): void {
    this.logger.warn({ err: event.error }, "sessions of instances that ended could not be looked for");
  }

  /** An agent that is gone could not be marked offline; it is tried again. */
  closeFailed(event: AgentRef & { error: unknown }): void {
    const { error, ...rest } = event;
    this.logger.warn({ ...rest, err: error }, "agent could not be marked offline, trying again");
  }
}
