import type { Publisher, PublisherState } from "../broker/publisher.js";
import type { Logger } from "../observe/logger.js";
import type { Database } from "../store/database.js";
import { OutboxEvents } from "./events.js";
import type { Outbox } from "./outbox.js";
import { Deliveries } from "./publishing/deliveries.js";
import { Lanes } from "./publishing/lanes.js";
import { Leases } from "./publishing/leases.js";
import { PublisherReport } from "./publishing/publisher-report.js";
import { PublishingOutbox } from "./publishing/publishing-outbox.js";
import { Relay } from "./publishing/relay.js";
import { Settlements } from "./publishing/settlements.js";
import { OutboxUpkeep, type StoredFigures, type UpkeepTiming } from "./publishing/upkeep.js";

/** How often a {@link Queue} does what, in milliseconds; what is left out is as production needs it. */
export interface QueueTiming {
  upkeep?: Partial<UpkeepTiming>;
  /** For how long a row belongs to who publishes it. */
  leaseMs?: number;
  relayPollMs?: number;
  reportMs?: number;
}

/** What {@link openQueue} needs. */
export interface QueueOptions {
  /** Connections of its own: what is left over is published whatever else the database is busy with. */
  database: Database;
  /** @param onReady it takes messages, for the first time or again */
  createPublisher: (onReady: () => void) => Publisher;
  instanceId: string;
  /** Most rows in the outbox. */
  maxRows: number;
  logger: Logger;
  timing?: QueueTiming | undefined;
}

/** How the queue of an instance stands. */
export interface QueueFigures extends PublisherState, StoredFigures {
  /** Messages confirmed in a second, between the last two reports. */
  confirmedPerSecond: number;
}

/** The way from the database to the broker, of one instance. */
export interface Queue {
  readonly outbox: Outbox;
  /** How it stands, for whoever shows that; what stands in the database is some seconds old. */
  readonly figures: QueueFigures;
  /** Somebody else wrote messages for it to publish; it would look within seconds. */
  hear(): void;
  /** Waits a while for outstanding confirms, gives back what it holds, and closes. */
  close(): Promise<void>;
}

/** Opens the way to the broker, which need not be there. */
export async function openQueue(options: QueueOptions): Promise<Queue> {
  const { database, createPublisher, instanceId, maxRows, logger, timing = {} } = options;
  const { db } = database;
  const events = new OutboxEvents(logger);
  const lanes = new Lanes();
  const publisher = createPublisher(() => {
    relay.wake();
    report.now();
  });
  const upkeep = new OutboxUpkeep({ db, publisher, maxRows, events, timing: timing.upkeep });
  const leases = new Leases({ db, events, leaseMs: timing.leaseMs });
  const settlements = new Settlements({ database, events });
  const onSetAside = (event: { topic: string; messages: number }) => upkeep.noteSetAside(event);
  const deliveries = new Deliveries({ publisher, leases, settlements, lanes, onSetAside });
  const shared = { publisher, deliveries, lanes, leaseMs: leases.leaseMs };
  const outbox = new PublishingOutbox({ ...shared, onLeft: () => relay.wake() });
  const relay = new Relay({ ...shared, db, events, isBusy: () => outbox.isBusy, pollMs: timing.relayPollMs });
  const report = new PublisherReport({ db, publisher, instanceId, events, intervalMs: timing.reportMs });
  const close = async () => {
    await relay.stop();
    await publisher.close();
    settlements.close();
    await deliveries.idle();
    await Promise.all([leases.stop(), upkeep.stop(), report.stop()]);
  };
  try {
    await report.start();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    outbox,
    get figures() {
      return { ...publisher.state, ...upkeep.stored, confirmedPerSecond: report.confirmedPerSecond };
    },
    hear: () => relay.wake(),
    close,
  };
}
