import type { Config } from "../config/config.js";
import { CertificateMover } from "../heartbeat/certificate-mover.js";
import { HeartbeatEvents } from "../heartbeat/events.js";
import { IdentityWatch } from "../heartbeat/identity-watch.js";
import { Callers } from "../identity/caller.js";
import { KeyEvents } from "../identity/key-events.js";
import { readServerCertificate } from "../identity/server-certificate/server-certificate-files.js";
import type { Lifetime } from "../lib/lifetime.js";
import type { Logger } from "../observe/logger.js";
import { Metrics, type MetricsSnapshot } from "../observe/metrics.js";
import { VERSION } from "../observe/version.js";
import { CORS_HEADERS } from "../rpc/cors-headers.js";
import { createHandshakeReporter } from "../rpc/refusals/handshake-refusals.js";
import { createServiceHandlers } from "../rpc/service.js";
import { boundByDescriptors } from "../server/admission/descriptor-limit.js";
import { createDoorReporter } from "../server/admission/door-reporter.js";
import { Peers } from "../server/admission/peers.js";
import { peerOf } from "../server/peer.js";
import { Acceptance } from "../server/probes/acceptance.js";
import { startRpcListener } from "../server/rpc-listener.js";
import { migrateIngest } from "../store/migrations/migrate.js";
import { WorkEvents } from "../work/events.js";
import { openWork } from "../work/open-work.js";
import { AGENT_PACE } from "./agent-pace.js";
import type { AppTiming } from "./app-timing.js";
import { followMetrics } from "./follow-metrics.js";
import { openChangeListener } from "./opening/open-change-listener.js";
import { openDatabases } from "./opening/open-databases.js";
import { openEnrolment } from "./opening/open-enrolment.js";
import { openKeys } from "./opening/open-keys.js";
import { openClosedOutbox, openQueueTo } from "./opening/open-outbox.js";
import { openRefusals } from "./opening/open-refusals.js";
import { openSessions } from "./opening/open-sessions.js";
import { watchCertificates } from "./opening/watch-certificates.js";

/** Of the time for stopping, how much there is for telling agents to reconnect, and for storing what was under way. */
const DRAIN_SHARE = 0.75;
const DRAIN_STEP_SHARE = 0.9;

/** What an instance tells of itself where no agents call. */
export interface InstanceView {
  /** Why it is not healthy; undefined when it is. */
  findHealthProblem(): string | undefined;
  /** Why nobody should be sent to it at the moment; undefined when anybody may be. */
  findReadinessProblem(): Promise<string | undefined>;
  /** Its JSON Web Key Set. */
  jwks(): unknown;
  /** The metrics of each process there is. */
  metrics(): Promise<MetricsSnapshot[]>;
}

/** How an instance is started. */
export interface InstanceOptions {
  timing: AppTiming;
  /** What it is opened with, and closed by. */
  lifetime: Lifetime;
  instanceId: string;
  /** Called before agents are listened to. */
  show: (view: InstanceView) => Promise<void> | void;
}

/**
 * Opens, wires and starts what serves agents. What was opened is closed again when a later step fails, or when the lifetime
 * is told to stop meanwhile.
 *
 * @returns the port that agents are listened to on
 * @throws IngestError `unusable_configuration`, `platform_tables_missing`
 * @throws StartAborted
 */
export async function startInstance(config: Config, logger: Logger, options: InstanceOptions): Promise<number> {
  logger.info({ version: VERSION, nodeVersion: process.version }, "starting");
  try {
    return await start(config, logger, options);
  } catch (error) {
    await options.lifetime.stop();
    throw error;
  }
}

async function start(
  config: Config,
  logger: Logger,
  { timing, lifetime, instanceId, show }: InstanceOptions,
): Promise<number> {
  const serverCertificate = await lifetime.open("server certificate", () => readServerCertificate(config.tls));
  await lifetime.open("migrations", (ending) => migrateIngest(config.databaseUrl, ending));
  const { database, streamDatabase, health, onIdleError } = openDatabases({ config, logger, timing, lifetime });
  const metrics = new Metrics();
  const { refusals, refusalMeter } = openRefusals({ db: database.db, logger, timing, lifetime });

  const pace = { ...AGENT_PACE, ...timing.pace };
  const queue =
    config.broker === undefined
      ? await openClosedOutbox({ db: database.db, logger, lifetime })
      : await openQueueTo(config.broker, { config, logger, timing, lifetime, instanceId, onIdleError });

  const { outbox, hear } = queue;
  const keyEvents = new KeyEvents(logger);
  const { signingKeys, agentCa } = await openKeys({ config, database, events: keyEvents, timing, lifetime });
  const { registrar, renewal, certificateUpkeep } = openEnrolment({
    database,
    outbox,
    agentCa,
    signingKeys,
    policy: config.enrolment,
    knownKeyPace: pace.registrations,
    logger,
    metrics,
  });
  lifetime.register("certificate upkeep", () => certificateUpkeep.stop());
  const events = new HeartbeatEvents(logger, { metrics });
  const { sessions, writer, appear, startDraining } = openSessions({
    database: streamDatabase,
    outbox,
    events,
    instanceId,
    config: config.sessions,
    timing: timing.sessions,
    pace: pace.heartbeats,
    lifetime,
  });

  const work = await lifetime.open(
    "work",
    () =>
      openWork({
        database,
        streamDatabase,
        outbox,
        config: config.work,
        events: new WorkEvents(logger, metrics.work),
        timing: timing.work,
      }),
    (opened) => opened.stop(),
  );

  const identityWatch = new IdentityWatch({ db: streamDatabase.db, sessions, events });
  lifetime.register("identity watch", () => identityWatch.stop());
  openChangeListener({
    url: config.databaseUrl,
    identityWatch,
    certificateUpkeep,
    agentCa,
    dispatcher: work.dispatcher,
    hearOfOutbox: hear,
    events,
    lifetime,
  });

  const mover = new CertificateMover({ sessions, agentCa, events, timing: timing.certificateMover });
  lifetime.register("certificate mover", () => mover.stop());

  let acceptance: Acceptance | undefined;
  const findReadinessProblem = async () =>
    lifetime.state === "serving"
      ? (health.findProblem() ?? acceptance?.findProblem())
      : `the service is ${lifetime.state}`;
  await show({
    // A process that sends its agents away is as healthy as before.
    findHealthProblem: () => (lifetime.state === "starting" ? "the service is starting" : health.findProblem()),
    findReadinessProblem,
    jwks: () => signingKeys.jwks,
    metrics: async () => [await metrics.snapshot()],
  });
  const connections = await boundByDescriptors(config.limits.connections, {
    reserve: config.databasePoolSize + config.limits.plain.maxConnections,
    logger,
  });
  const peers = new Peers();
  const requests = { ...config.limits.requests, ...timing.requests };
  const rpcListener = await lifetime.open(
    "rpc listener",
    () =>
      startRpcListener({
        port: config.grpcPort,
        address: config.grpcAddress,
        cors: { isAllowed: config.isOriginAllowed, ...CORS_HEADERS, methods: ["POST"] },
        cert: serverCertificate.cert,
        key: serverCertificate.key,
        handlers: createServiceHandlers({
          callers: new Callers({ db: streamDatabase.db, agentCa }),
          registrar,
          renewal,
          sessions,
          work: work.agents,
          inventoryUploads: work.inventoryUploads,
          acceptIdWithoutJwt: config.acceptIdWithoutJwt,
          signingKeys,
          callPace: pace.calls,
          refusals,
          refusalMeter,
          logger,
          metrics,
          peerOf: (source) => peerOf(source, peers),
          messages: config.limits.messages,
          messageMs: requests.messageMs,
          grpcServices: {
            findReadinessProblem,
            hasReflection: config.hasReflection,
            ending: lifetime.ending,
            lookMs: timing.healthWatchMs,
          },
        }),
        logger,
        onHandshake: () => metrics.handshakes.inc({ result: "completed" }),
        onHandshakeFailure: createHandshakeReporter({ logger, meter: refusalMeter, refusals, metrics }),
        timing: timing.sessionLiveness,
        requests,
        limits: { ...connections, isProxy: config.isProxy },
        peers,
        onTurnedAway: createDoorReporter({ port: "agents", logger, metrics }),
        admission: timing.admission,
      }),
    (opened) => opened.close(),
  );
  const certificates = watchCertificates({
    config,
    serverCertificate,
    rpcListener,
    agentCa,
    keyEvents,
    timing,
    lifetime,
  });
  const { db } = database;
  followMetrics(metrics, { db, sessions, writer, rpcListener, health, queue: () => queue.figures, certificates });
  acceptance = new Acceptance({
    port: rpcListener.port,
    address: config.grpcAddress,
    isProxy: config.isProxy,
  });
  await appear(rpcListener.port);
  const { stopTimeoutMs, drainPerSecond: perSecond } = config;
  const withinMs = stopTimeoutMs * DRAIN_SHARE;
  const drain = async () => {
    // Agents that are told to go elsewhere must not come back here.
    rpcListener.stopAccepting();
    await Promise.allSettled([startDraining(), sessions.drain({ perSecond, withinMs })]);
  };
  lifetime.register("heartbeat sessions", drain, { timeoutMs: stopTimeoutMs * DRAIN_STEP_SHARE });

  lifetime.serve();
  return rpcListener.port;
}
