import { hostname } from "node:os";
import type { Config } from "../../config/config.js";
import { databaseUnavailable } from "../../errors.js";
import type { HeartbeatEvents } from "../../heartbeat/events.js";
import { HeartbeatWriter } from "../../heartbeat/heartbeat-writer.js";
import { INVENTORY_TIMING } from "../../heartbeat/inventory/inventory-pace.js";
import { AbandonedSweep } from "../../heartbeat/presence/abandoned-sweep.js";
import { Calm } from "../../heartbeat/presence/calm.js";
import { CloneWatch } from "../../heartbeat/presence/clone-watch.js";
import { Departures } from "../../heartbeat/presence/departures.js";
import { InstancePresence, type InstancePresenceTiming } from "../../heartbeat/presence/instance-presence.js";
import { OfflineWriter } from "../../heartbeat/presence/offline-writer.js";
import { SilenceWatch } from "../../heartbeat/presence/silence-watch.js";
import { SessionOpener } from "../../heartbeat/session-opener.js";
import { Sessions } from "../../heartbeat/sessions.js";
import { Pace, type PaceLimit } from "../../lib/bounds/pace.js";
import type { Lifetime } from "../../lib/lifetime.js";
import { VERSION } from "../../observe/version.js";
import type { Outbox } from "../../outbox/outbox.js";
import type { Database } from "../../store/database.js";
import type { InventoryTiming } from "../../store/hosts/host-inventories.js";
import { OUTAGE_LIMIT_MS } from "../../store/sets/set-writer.js";

/** An agent's keepalive takes twice as long to find that its connection died unheard, which is how one machine displaces itself. */
const CONTEST = { withinS: 20, displacements: 5 };

/** How often sessions are looked at, in milliseconds; what is left out is as production needs it. */
export interface SessionsTiming extends Partial<InstancePresenceTiming>, Partial<InventoryTiming> {
  /** Between two looks for sessions that no instance holds. */
  sweepMs?: number;
  /** Between two looks for agents that say nothing. */
  silenceMs?: number;
  /** How long the database may be away before streams end. */
  outageLimitMs?: number;
}

/** What holds the sessions of an instance. */
export interface OpenSessions {
  sessions: Sessions;
  writer: HeartbeatWriter;
  /** Shows the other instances that this one takes agents, on this port, and looks after what others left. */
  appear(grpcPort: number): Promise<void>;
  /** Says that it takes none any more. */
  startDraining(): Promise<void>;
}

/** Wires what holds sessions and says who is online. */
export function openSessions({
  database,
  outbox,
  events,
  instanceId,
  config,
  timing,
  pace,
  lifetime,
}: {
  database: Database;
  outbox: Outbox;
  events: HeartbeatEvents;
  instanceId: string;
  config: Config["sessions"];
  timing: SessionsTiming | undefined;
  /** Of the heartbeats of each agent. */
  pace: PaceLimit;
  lifetime: Lifetime;
}): OpenSessions {
  const { offlineAfterMs } = config;
  const { db } = database;
  const outageLimitMs = timing?.outageLimitMs ?? OUTAGE_LIMIT_MS;
  const calm = new Calm({
    comeBackMs: offlineAfterMs,
    outageLimitMs,
    onChange: (change) => events.calmChanged(change),
    // Also those that wait for nothing: another instance may reach the database.
    onLongOutage: () => sessions.endAll(databaseUnavailable()),
  });
  const offlineWriter = new OfflineWriter({ database, outbox, events });
  const inventoryTiming = { ...INVENTORY_TIMING, ...timing };
  const { commitDelayMs } = config;
  const writer = new HeartbeatWriter({
    database,
    outbox,
    events,
    calm,
    inventoryTiming,
    commitDelayMs,
    outageLimitMs,
  });
  const sessions = new Sessions({
    opener: new SessionOpener({ database, events, instanceId }),
    writer,
    cloneWatch: new CloneWatch({
      database,
      outbox,
      events,
      policy: { ...CONTEST, locks: config.clonePolicy === "lock" },
    }),
    departures: new Departures({ offlineWriter, calm, events }),
    patience: config,
    calm,
    events,
    inventoryTiming,
    pace: new Pace(pace),
  });
  let presence: InstancePresence | undefined;
  const appear = async (grpcPort: number) => {
    const address = `${hostname()}:${grpcPort}`;
    presence = await lifetime.open(
      "instance",
      () =>
        InstancePresence.open({
          db,
          instance: { id: instanceId, version: VERSION, address },
          calm,
          events,
          timing,
        }),
      (opened) => opened.stop(),
    );
    const sweep = new AbandonedSweep({
      db,
      offlineWriter,
      calm,
      events,
      silentForMs: offlineAfterMs,
      sweepMs: timing?.sweepMs,
    });
    lifetime.register("sweep of abandoned sessions", () => sweep.stop());
  };
  const silenceWatch = new SilenceWatch({ sessions, offlineWriter, calm, events, scanMs: timing?.silenceMs });
  lifetime.register("silence watch", () => silenceWatch.stop());
  return { sessions, writer, appear, startDraining: async () => presence?.startDraining() };
}
