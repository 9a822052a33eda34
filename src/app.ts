import { BrokerEvents } from "./broker/events.js";
import { RabbitMqPublisher, type RabbitMqPublisherOptions } from "./broker/rabbitmq/rabbitmq-publisher.js";
import type { BrokerConfig, Config } from "./config.js";
import { CertificateUpkeep } from "./enrolment/certificate-upkeep.js";
import { BRIDGE_NETWORKS } from "./enrolment/duplicates/bridge-networks.js";
import { IdentifyingAddresses } from "./enrolment/duplicates/identifying-addresses.js";
import { EnrolmentEvents } from "./enrolment/events.js";
import { KnownKeys } from "./enrolment/known-keys/known-keys.js";
import { CertificateRenewal } from "./enrolment/known-keys/renewal.js";
import { Enroller } from "./enrolment/new-keys/enroller.js";
import { Registrar } from "./enrolment/registrar.js";
import { RefusalLimiter } from "./enrolment/tokens/refusal-limiter.js";
import { TokenCheck } from "./enrolment/tokens/token-check.js";
import { CertificateMover, type CertificateMoverTiming } from "./heartbeat/certificate-mover.js";
import { HeartbeatEvents } from "./heartbeat/events.js";
import { HeartbeatWriter } from "./heartbeat/heartbeat-writer.js";
import { IdentityWatch } from "./heartbeat/identity-watch.js";
import { OfflineWriter } from "./heartbeat/offline-writer.js";
import { SessionOpener } from "./heartbeat/session-opener.js";
import { Sessions } from "./heartbeat/sessions.js";
import { type AgentCasTiming, openAgentCas } from "./identity/agent-ca/agent-cas.js";
import { Callers } from "./identity/caller.js";
import { ClientCertificates } from "./identity/client-certificates/client-certificates.js";
import { watchExpiry } from "./identity/expiry-watch.js";
import { KeyEvents } from "./identity/key-events.js";
import {
  readServerCertificate,
  ServerCertificateWatch,
} from "./identity/server-certificate/server-certificate-files.js";
import { openSigningKeyRing, type SigningKeyRingTiming } from "./identity/signing-keys/signing-key-ring.js";
import { createId } from "./lib/ids.js";
import { type CloseStep, Lifetime } from "./lib/lifetime.js";
import type { Logger } from "./observe/logger.js";
import { VERSION } from "./observe/version.js";
import { findAbandonedMessages } from "./outbox/abandoned-messages.js";
import { createClosedOutbox, type Outbox } from "./outbox/outbox.js";
import { openQueue, type QueueTiming } from "./outbox/queue.js";
import { RefusalRecorder } from "./rpc/refusal-recorder.js";
import { createServiceHandler } from "./rpc/service.js";
import { peerOf } from "./server/peer.js";
import { startPlainListener } from "./server/plain-listener.js";
import { startRpcListener } from "./server/rpc-listener.js";
import type { SessionLivenessTiming } from "./server/session-liveness.js";
import type { ConnectionPolicy } from "./store/connection/connection-policy.js";
import { DatabaseHealth, type DatabaseHealthTiming } from "./store/connection/health.js";
import { openDatabase, type Queryable } from "./store/database.js";
import { Listener } from "./store/listener.js";
import { migrateIngest } from "./store/migrate.js";
import { WorkEvents } from "./work/events.js";
import { openWork, type WorkTiming } from "./work/open-work.js";

/** How long agents may take to be told to reconnect and be marked offline. */
const DRAIN_TIMEOUT_MS = 15_000;
/** For what is left over, settling what was published, and looking after the outbox. */
const QUEUE_CONNECTIONS = 3;
/** Confirms that are still to come are waited for, and what became of them is written. */
const QUEUE_CLOSE_TIMEOUT_MS = 8_000;
/** Of the database connections, how many are for streams alone. */
const STREAMS_SHARE = 1 / 3;
/** One statement of streams holds up the heartbeats of all agents. */
const STREAM_STATEMENT_TIMEOUT_MS = 10_000;

/** A running service. */
export interface App {
  grpcPort: number;
  httpPort: number;
  /** Ends every stream, marks its agent offline, and closes what was opened. A further call waits for the first. */
  close(): Promise<void>;
}

/** How an app is started, where not as usual. */
export interface AppOptions {
  timing?: AppTiming | undefined;
  /** What the app is opened with, and closed by; one of its own unless told. */
  lifetime?: Lifetime;
}

/** How often the service looks at what may change while it runs; what is left out is as production needs it. */
export interface AppTiming {
  signingKeys?: Partial<SigningKeyRingTiming>;
  agentCa?: Partial<AgentCasTiming>;
  certificateMover?: Partial<CertificateMoverTiming>;
  work?: WorkTiming;
  databaseHealth?: Partial<DatabaseHealthTiming>;
  /** Of the connections of streams. */
  streamDatabase?: Partial<ConnectionPolicy>;
  /** Between two looks at the files of the server certificate. */
  serverCertificateMs?: number;
  sessionLiveness?: Partial<SessionLivenessTiming>;
  publisher?: RabbitMqPublisherOptions["timing"];
  queue?: QueueTiming;
}

/** A lifetime whose steps are logged. */
export function createLifetime(logger: Logger, stopTimeoutMs: number): Lifetime {
  const onStep = ({ name, durationMs, error }: CloseStep) => {
    const step = { step: name, durationMs: Math.round(durationMs) };
    if (error === undefined) logger.debug(step, "closed");
    else logger.error({ ...step, err: error }, "could not be closed in time");
  };
  return new Lifetime({ stopTimeoutMs, onStep });
}

/**
 * Opens, wires and starts the service. What was opened is closed again when a later step fails, or when the lifetime is
 * told to stop meanwhile.
 *
 * @throws IngestError `unusable_configuration`, `platform_tables_missing`
 * @throws StartAborted
 */
export async function startApp(config: Config, logger: Logger, options: AppOptions = {}): Promise<App> {
  const { timing = {}, lifetime = createLifetime(logger, config.stopTimeoutMs) } = options;
  logger.info({ version: VERSION, nodeVersion: process.version }, "starting");
  try {
    return await start(config, logger, timing, lifetime);
  } catch (error) {
    await lifetime.stop();
    throw error;
  }
}

async function start(config: Config, logger: Logger, timing: AppTiming, lifetime: Lifetime): Promise<App> {
  const serverCertificate = await lifetime.open("server certificate", () => readServerCertificate(config.tls));
  await lifetime.open("migrations", (ending) => migrateIngest(config.databaseUrl, ending));
  const onIdleError = (error: Error) => logger.warn({ err: error }, "a database connection broke");
  const streamConnections = Math.floor(config.databasePoolSize * STREAMS_SHARE);
  const database = openDatabase({
    url: config.databaseUrl,
    maxConnections: config.databasePoolSize - streamConnections,
    onIdleError,
  });
  lifetime.register("database", () => database.close());
  // Registrations wait for each other's locks: streams have connections that those cannot take.
  const streamDatabase = openDatabase({
    url: config.databaseUrl,
    maxConnections: streamConnections,
    purpose: "streams",
    statementTimeoutMs: STREAM_STATEMENT_TIMEOUT_MS,
    ...timing.streamDatabase,
    onIdleError,
  });
  lifetime.register("database of streams", () => streamDatabase.close());
  const refusals = new RefusalRecorder({ db: database.db, logger });
  lifetime.register("record of refusals", () => refusals.close());

  const instanceId = createId();
  const outbox =
    config.broker === undefined
      ? await openClosedOutbox({ db: database.db, logger, lifetime })
      : await openQueueTo(config.broker, { config, logger, timing, lifetime, instanceId, onIdleError });

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
  const health = new DatabaseHealth({
    url: config.databaseUrl,
    onRecovered: (since) => {
      database.cutSilent(since);
      streamDatabase.cutSilent(since);
    },
    timing: timing.databaseHealth,
  });
  lifetime.register("database health", () => health.stop());

  const enrolmentEvents = new EnrolmentEvents(logger);
  const clientCertificates = new ClientCertificates({ db: database.db, agentCa });
  const tokenCheck = new TokenCheck(database.db);
  const identities = { database, tokenCheck, clientCertificates, signingKeys, events: enrolmentEvents };
  const { duplicateIgnoreCidrs = BRIDGE_NETWORKS, adoptAutoApprove, refusalsPerMinute } = config.enrolment;
  const registrar = new Registrar({
    database,
    knownKeys: new KnownKeys(identities),
    newKeys: new Enroller({ ...identities, policy: { adoptAutoApprove } }),
    identifyingAddresses: new IdentifyingAddresses(duplicateIgnoreCidrs),
    refusalLimiter: new RefusalLimiter({ perMinute: refusalsPerMinute }),
  });
  const renewal = new CertificateRenewal({ db: database.db, clientCertificates, events: enrolmentEvents });
  const certificateUpkeep = new CertificateUpkeep({ db: database.db, events: enrolmentEvents });
  lifetime.register("certificate upkeep", () => certificateUpkeep.stop());
  const events = new HeartbeatEvents(logger);
  const sessions = new Sessions({
    opener: new SessionOpener({ database: streamDatabase, events, instanceId }),
    writer: new HeartbeatWriter({ database: streamDatabase, outbox, events }),
    offlineWriter: new OfflineWriter({ database: streamDatabase, outbox, events }),
    events,
  });

  const work = await lifetime.open(
    "work",
    () =>
      openWork({
        database,
        streamDatabase,
        config: config.work,
        events: new WorkEvents(logger),
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
      } else if (change.kind === "certificate") identityWatch.checkCertificate(change.serial);
      else if (change.kind === "agent CA") void agentCa.refresh();
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

  const plainListener = await lifetime.open(
    "plain listener",
    () =>
      startPlainListener({
        port: config.httpPort,
        findHealthProblem: () =>
          lifetime.state === "serving" ? health.findProblem() : `the service is ${lifetime.state}`,
        jwks: () => signingKeys.jwks,
        version: VERSION,
        logger,
      }),
    (opened) => opened.close(),
  );
  const rpcListener = await lifetime.open(
    "rpc listener",
    () =>
      startRpcListener({
        port: config.grpcPort,
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
          refusals,
          logger,
          peerOf,
        }),
        logger,
        timing: timing.sessionLiveness,
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
  const stopExpiryWatch = watchExpiry(
    () => [
      { name: "server certificate", notAfter: certificateWatch.current.notAfter },
      { name: "agent CA", notAfter: agentCa.current.notAfter },
    ],
    keyEvents,
  );
  lifetime.register("expiry watch", stopExpiryWatch);
  const drain = () => {
    // Agents that are told to go elsewhere must not come back here.
    rpcListener.stopAccepting();
    return sessions.drain();
  };
  lifetime.register("heartbeat sessions", drain, { timeoutMs: DRAIN_TIMEOUT_MS });

  lifetime.serve();
  const ports = { grpcPort: rpcListener.port, httpPort: plainListener.port };
  logger.info(ports, "ready");
  return { ...ports, close: async () => void (await lifetime.stop()) };
}

/** An outbox for an instance that publishes nothing. */
async function openClosedOutbox({
  db,
  logger,
  lifetime,
}: {
  db: Queryable;
  logger: Logger;
  lifetime: Lifetime;
}): Promise<Outbox> {
  const messages = await lifetime.open("outbox", () => findAbandonedMessages(db));
  if (messages > 0) logger.warn({ messages }, "messages wait in the outbox, and no broker is configured");
  logger.info("no broker is configured, nothing leaves this process (INGEST_AMQP_URL)");
  return createClosedOutbox();
}

/** An outbox whose messages go to a broker, which need not be there yet. */
async function openQueueTo(
  broker: BrokerConfig,
  {
    config,
    logger,
    timing,
    lifetime,
    instanceId,
    onIdleError,
  }: {
    config: Config;
    logger: Logger;
    timing: AppTiming;
    lifetime: Lifetime;
    instanceId: string;
    onIdleError: (error: Error) => void;
  },
): Promise<Outbox> {
  const database = openDatabase({ url: config.databaseUrl, maxConnections: QUEUE_CONNECTIONS, onIdleError });
  lifetime.register("database of the queue", () => database.close());
  const events = new BrokerEvents(logger);
  const createPublisher = (onReady: () => void) =>
    new RabbitMqPublisher({ ...broker, instanceId, events, onReady, timing: timing.publisher });
  const queue = await lifetime.open(
    "queue",
    () =>
      openQueue({
        database,
        createPublisher,
        instanceId,
        maxRows: config.outboxMaxRows,
        logger,
        timing: timing.queue,
      }),
    (opened) => opened.close(),
    { timeoutMs: QUEUE_CLOSE_TIMEOUT_MS },
  );
  return queue.outbox;
}
