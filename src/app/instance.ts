import type { Config } from "../config/config.js";
import { CertificateMover } from "../heartbeat/certificate-mover.js";
import { HeartbeatEvents } from "../heartbeat/events.js";
import { IdentityWatch } from "../heartbeat/identity-watch.js";
import { openAgentCas } from "../identity/agent-ca/agent-cas.js";
import { Callers } from "../identity/caller.js";
import { watchExpiry } from "../identity/expiry-watch.js";
import { KeyEvents } from "../identity/key-events.js";
import {
  readServerCertificate,
  ServerCertificateWatch,
} from "../identity/server-certificate/server-certificate-files.js";
import { openSigningKeyRing } from "../identity/signing-keys/signing-key-ring.js";
import type { Lifetime } from "../lib/lifetime.js";
import type { Logger } from "../observe/logger.js";
import { Metrics, type MetricsSnapshot } from "../observe/metrics.js";
import { VERSION } from "../observe/version.js";
import { CORS_HEADERS } from "../rpc/cors-headers.js";
import { createHandshakeReporter } from "../rpc/refusals/handshake-refusals.js";
import { RefusalMeter } from "../rpc/refusals/refusal-meter.js";
import { RefusalRecorder } from "../rpc/refusals/refusal-recorder.js";
import { createServiceHandler } from "../rpc/service.js";
import { Acceptance } from "../server/acceptance.js";
import { boundByDescriptors } from "../server/admission/descriptor-limit.js";
import { createDoorReporter } from "../server/admission/door-reporter.js";
import { Peers } from "../server/admission/peers.js";
import { peerOf } from "../server/peer.js";
import { startRpcListener } from "../server/rpc-listener.js";
import { Listener } from "../store/connection/listener.js";
import { migrateIngest } from "../store/migrations/migrate.js";
import { WorkEvents } from "../work/events.js";
import { openWork } from "../work/open-work.js";
import { AGENT_PACE } from "./agent-pace.js";
import type { AppTiming } from "./app-timing.js";
import { followMetrics } from "./follow-metrics.js";
import { openDatabases } from "./open-databases.js";
import { openEnrolment } from "./open-enrolment.js";
import { openClosedOutbox, openQueueTo } from "./open-outbox.js";
import { openSessions } from "./open-sessions.js";

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
  const refusals = new RefusalRecorder({ db: database.db, logger });
  lifetime.register("record of refusals", () => refusals.close());
  const refusalMeter = new RefusalMeter({
    onSummary: (summary) => logger.warn(summary, "many calls were refused"),
    periodMs: timing.refusalSummaryMs,
  });
  lifetime.register("sum of refusals", () => refusalMeter.close());

  const pace = { ...AGENT_PACE, ...timing.pace };
  const queue =
    config.broker === undefined
      ? await openClosedOutbox({ db: database.db, logger, lifetime })
      : await openQueueTo(config.broker, { config, logger, timing, lifetime, instanceId, onIdleError });

  const { outbox, hear } = queue;
  const keyEvents = new KeyEvents(logger);
  const signingKeys = await lifetime.open(
    "signing keys",
    () =>
      openSigningKeyRing({
        db: database.db,
        path: config.jwtKeyFile,
        events: keyEvents,
        timing: timing.signingKeys,
      }),
    (opened) => opened.close(),
  );
  const agentCa = await lifetime.open(
    "agent CA",
    () => openAgentCas({ database, ...config.agentCa, events: keyEvents, timing: timing.agentCa }),
    (opened) => opened.close(),
  );
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
  const listener = new Listener({
    url: config.databaseUrl,
    onChange: (change) => {
      if (change.kind === "agent") {
        identityWatch.checkAgent(change.agentId);
        certificateUpkeep.checkAgent(change.agentId);
      } else if (change.kind === "session") identityWatch.checkAgent(change.agentId);
      else if (change.kind === "certificate") identityWatch.checkCertificate(change.serial);
      else if (change.kind === "agent CA") void agentCa.refresh();
      else if (change.kind === "outbox") hear();
      else work.dispatcher.hear(change.kind === "work" ? { kind: "everything" } : change);
    },
    onListening: () => {
      work.dispatcher.hear({ kind: "everything" });
      identityWatch.checkEverything();
      certificateUpkeep.checkEverything();
      // What fails is reported, and tried again by itself.
      void agentCa.refresh();
    },
    onDisconnected: (event) => events.listenerDisconnected(event),
  });
  lifetime.register("database listener", () => listener.close());

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
        handler: createServiceHandler({
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
          peerOf: (request) => peerOf(request, peers),
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
  const certificateWatch = new ServerCertificateWatch({
    paths: config.tls,
    inUse: serverCertificate,
    onChange: (pair) => rpcListener.replaceCertificate(pair),
    events: keyEvents,
    fileWatchMs: timing.serverCertificateMs,
  });
  lifetime.register("server certificate", () => certificateWatch.stop());
  const certificates = () => [
    { name: "server certificate", notAfter: certificateWatch.current.notAfter },
    { name: "agent CA", notAfter: agentCa.current.notAfter },
  ];
  const stopExpiryWatch = watchExpiry(certificates, keyEvents);
  lifetime.register("expiry watch", stopExpiryWatch);
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
