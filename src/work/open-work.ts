import { WebCertificateWatch } from "../identity/server-certificate/web-certificate.js";
import type { Outbox } from "../outbox/outbox.js";
import type { Database } from "../store/database.js";
import { AgentWork } from "./agent-work.js";
import { Dispatcher } from "./dispatch/dispatcher.js";
import type { WorkEvents } from "./events.js";
import { Housekeeping } from "./housekeeping.js";
import { InventorySweep } from "./inventory/inventory-sweep.js";
import { InventoryUploads } from "./inventory/inventory-uploads.js";
import { ReportWriter } from "./reports/report-writer.js";
import { type ReleaseSource, Releases } from "./signals/releases.js";
import { Signals } from "./signals/signals.js";

/** What of the configuration concerns work. */
export interface WorkConfig {
  /** How long a task may wait for its host, in milliseconds. */
  maxAgeMs: number;
  /** Agents that are told of a newer version at a time. */
  updateConcurrency: number;
  /** Public URL of the web app. */
  downloadBaseUrl: string;
  release: ReleaseSource;
  /** The web site's certificate, which agents pin for downloads. */
  webCertificateFile?: string;
}

/** How often what changes is looked at, whatever was notified; what is left out is as production needs it. */
export interface WorkTiming {
  scanMs?: number;
  housekeepingMs?: number;
  sweepMs?: number;
  signalsMs?: number;
  filesMs?: number;
  chunkTimeoutMs?: number;
}

/** What {@link openWork} needs. */
export interface WorkOptions {
  /** For what takes long, and nobody's heartbeat waits for. */
  database: Database;
  /** For what streams wait for. */
  streamDatabase: Database;
  outbox: Outbox;
  config: WorkConfig;
  events: WorkEvents;
  timing?: WorkTiming | undefined;
}

/** All that gives agents their work and takes what comes back. */
export interface Work {
  agents: AgentWork;
  dispatcher: Dispatcher;
  inventoryUploads: InventoryUploads;
  stop(): Promise<void>;
}

/** Opens the room of work. */
export async function openWork(options: WorkOptions): Promise<Work> {
  const { database, streamDatabase, outbox, config, events, timing = {} } = options;
  const { maxAgeMs, updateConcurrency: concurrency, downloadBaseUrl } = config;
  const reportProblem = (what: string) => (error: unknown) => events.failed({ what, error });
  const releases = await Releases.open(config.release, reportProblem("the release manifest"), timing.filesMs);
  const webCertificate =
    config.webCertificateFile === undefined
      ? undefined
      : new WebCertificateWatch(config.webCertificateFile, reportProblem("the web site's certificate"), timing.filesMs);
  const dispatcher = new Dispatcher({
    database: streamDatabase,
    outbox,
    events,
    maxAgeMs,
    scanIntervalMs: timing.scanMs,
  });
  const newestVersion = () => releases.newest;
  const signals = new Signals({
    database,
    events,
    newestVersion,
    webCertificate: () => webCertificate?.current,
    downloadBaseUrl,
    concurrency,
    intervalMs: timing.signalsMs,
  });
  const reports = new ReportWriter({ database: streamDatabase, outbox, events });
  const housekeeping = new Housekeeping({ database, outbox, events, maxAgeMs, intervalMs: timing.housekeepingMs });
  const sweep = new InventorySweep({ database, events, intervalMs: timing.sweepMs });
  return {
    agents: new AgentWork({ dispatcher, reports, signals }),
    dispatcher,
    inventoryUploads: new InventoryUploads({ database, outbox, events, chunkTimeoutMs: timing.chunkTimeoutMs }),
    stop: async () => {
      const parts = [dispatcher, signals, housekeeping, sweep, releases, webCertificate];
      await Promise.all(parts.map((part) => part?.stop()));
    },
  };
}
