import { createId } from "../../lib/ids.js";
import type { InventoryTiming } from "../../store/hosts/host-inventories.js";
import type { SessionKey } from "../../store/sessions/agent-sessions.js";
import type { HeartbeatRow } from "../../store/sessions/heartbeats.js";
import type { HeartbeatEvents } from "../events.js";
import { clampVitals, type RawHeartbeatReport } from "../heartbeat-report.js";
import type { HeartbeatWriter } from "../heartbeat-writer.js";
import { InventoryPace } from "../inventory/inventory-pace.js";
import type { Calm } from "../presence/calm.js";
import { LastSample } from "./last-sample.js";
import { LearnedInterval } from "./learned-interval.js";

/** About what a report holds beside its inventory. */
const REPORT_BASE_BYTES = 512;

/** What a {@link HeartbeatRecorder} works with. */
export interface HeartbeatRecorderOptions {
  writer: HeartbeatWriter;
  calm: Pick<Calm, "since">;
  events: HeartbeatEvents;
  inventoryTiming: InventoryTiming;
  /** The time of receipt; the clock's unless told. */
  now?: () => Date;
}

const CLOCK = (): Date => new Date();

/** Stores the heartbeats of one session, and knows what there is to store of each. */
export class HeartbeatRecorder {
  readonly interval = new LearnedInterval();
  readonly #inventoryPace: InventoryPace;
  readonly #now: () => Date;
  readonly #lastSample = new LastSample();
  #count = 0;
  #uptimeSeconds = 0;

  constructor(private readonly options: HeartbeatRecorderOptions) {
    this.#now = options.now ?? CLOCK;
    this.#inventoryPace = new InventoryPace(options.inventoryTiming, this.#now);
  }

  /** How many heartbeats are stored. */
  get count(): number {
    return this.#count;
  }

  /** As the agent said last. */
  get uptimeSeconds(): number {
    return this.#uptimeSeconds;
  }

  /**
   * Stores one heartbeat; resolves when it is committed.
   *
   * @param heardAt when it was read, as `performance.now()` tells it
   * @throws IngestError as {@link HeartbeatWriter.write}
   */
  async record(key: SessionKey, raw: RawHeartbeatReport, heardAt: number): Promise<void> {
    const vitals = clampVitals(raw);
    const { writer, calm, events } = this.options;
    const reported = this.#lastSample.inventoryOf(raw);
    const due = this.#inventoryPace.takeDue(reported);
    if (due?.cut !== undefined) events.inventoryCut(key.agentId, due.cut);
    this.#uptimeSeconds = vitals.uptimeSeconds;
    const inventory = due?.inventory ?? null;
    const receivedAt = this.#now();
    const sample = { vitals, inventory: reported };
    const isRepeat = raw.results !== "none" && this.#lastSample.isRepeatedBy(sample, receivedAt, this.interval.ms);
    if (raw.results !== "work" && !isRepeat) this.interval.hear(heardAt, calm.since);
    const intervalMs = this.interval.unstoredMs;
    // Written out: spreads make an object property by property, which cost more than all else here.
    const row: HeartbeatRow = {
      metricId: createId(),
      agentId: key.agentId,
      hostId: key.hostId,
      organisationId: key.organisationId,
      epoch: key.epoch,
      receivedAt,
      cpuPercent: vitals.cpuPercent,
      memoryPercent: vitals.memoryPercent,
      diskPercent: vitals.diskPercent,
      uptimeSeconds: vitals.uptimeSeconds,
      takenAtUnix: vitals.takenAtUnix,
      agentVersion: vitals.agentVersion,
      os: vitals.os,
      osVersion: vitals.osVersion,
      arch: vitals.arch,
      inventory,
      isRepeat,
      intervalMs,
    };
    const written = await writer.write(row, REPORT_BASE_BYTES + (inventory?.metadata.length ?? 0));
    if (inventory !== null && written.inventory !== undefined) {
      this.#inventoryPace.settle(reported, inventory.digest, written.inventory);
    }
    if (!isRepeat) this.#lastSample.remember(sample, receivedAt);
    if (intervalMs !== null) this.interval.markStored(intervalMs);
    this.#count += 1;
  }
}
