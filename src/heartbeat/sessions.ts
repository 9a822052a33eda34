import { createHash } from "node:crypto";
import { IngestError } from "../errors.js";
import type { Caller } from "../identity/caller.js";
import type { CertificateReference } from "../identity/client-certificates/certificate-verification.js";
import { findObjection } from "../identity/standing.js";
import { createId } from "../lib/ids.js";
import { type Database, toDatabaseError } from "../store/database.js";
import { openAgentSession, type SessionKey } from "../store/sessions/agent-sessions.js";
import { findDoubtfulSessions, type SessionCredentials } from "../store/sessions/session-validity.js";
import type { HeartbeatEvents } from "./events.js";
import { clampHeartbeatReport, type HostInventory, type RawHeartbeatReport } from "./heartbeat-report.js";
import type { HeartbeatWriter } from "./heartbeat-writer.js";
import type { OfflineWriter } from "./offline-writer.js";

/**
 * The web app writes `hosts.metadata` back as it read it, which can undo what was written here: so an inventory that
 * did not change is written again after this long.
 */
const INVENTORY_REWRITE_MS = 15 * 60 * 1000;
/** About what a report holds beside its inventory. */
const REPORT_BASE_BYTES = 512;

/** What {@link Sessions} needs. */
export interface SessionsOptions {
  database: Database;
  writer: HeartbeatWriter;
  offlineWriter: OfflineWriter;
  events: HeartbeatEvents;
  /** Names this instance in `ingest.agent_sessions`. */
  instanceId: string;
  /** The time of receipt; the clock's unless told. */
  now?: () => Date;
}

/** The heartbeat sessions this instance holds: at most one live one per agent. */
export class Sessions {
  /** Every session that is not closed; of an agent's, the one of the highest epoch is in {@link Sessions.#current}. */
  readonly #open = new Set<Session>();
  readonly #current = new Map<string, Session>();
  #draining = false;

  constructor(private readonly options: SessionsOptions) {}

  /**
   * Opens a session; one that the agent holds here already is ended.
   *
   * @param end ends the stream with an error; of several calls the first one counts
   * @throws IngestError `draining`, `database_unavailable`
   */
  async start(caller: Caller, remoteAddress: string, end: (error: IngestError) => void): Promise<Session> {
    this.#refuseWhileDraining();
    const { database, instanceId } = this.options;
    const { agentId, hostId, organisationId, hostname } = caller;
    const epoch = await openAgentSession(database.db, { agentId, instanceId }).catch((error: unknown) => {
      throw toDatabaseError(error);
    });
    this.#refuseWhileDraining();
    const current = this.#current.get(agentId);
    // Two openings of one agent may come back from the database in either order: the higher epoch is the agent's.
    if (current !== undefined && current.key.epoch > epoch) throw displacedError();
    const key = { agentId, hostId, organisationId, epoch };
    const { publicKey, certificate } = caller;
    const credentials = { agentId, organisationId, hostId, publicKey, serial: certificate.serial };
    const session = new Session(key, credentials, certificate, this.options, end, () => this.#forget(session));
    this.#open.add(session);
    this.#current.set(agentId, session);
    current?.end(displacedError());
    this.options.events.sessionOpened({ ...session.key, hostname, remoteAddress });
    return session;
  }

  /** Every session that is not closed. */
  get open(): ReadonlySet<Session> {
    return this.#open;
  }

  /** Ends every stream, and resolves when their agents are marked offline. */
  async drain(): Promise<void> {
    this.#draining = true;
    const open = [...this.#open];
    for (const session of open) session.end(drainingError());
    await Promise.all(open.map((session) => session.closed));
  }

  #forget(session: Session): void {
    this.#open.delete(session);
    if (this.#current.get(session.key.agentId) === session) this.#current.delete(session.key.agentId);
  }

  #refuseWhileDraining(): void {
    if (this.#draining) throw drainingError();
  }
}

function drainingError(): IngestError {
  return new IngestError("draining", "this instance is shutting down; connect again");
}

function displacedError(): IngestError {
  return new IngestError("session_displaced", "a newer stream of this agent took the place of this one");
}

/** One heartbeat stream of an agent. */
export class Session {
  readonly #openedAt = performance.now();
  #heartbeats = 0;
  #written: { digest: string; at: number } | undefined;
  #closing = false;
  #settleClosed: () => void = () => {};
  /** Resolves when the session is closed and its agent, if need be, marked offline. */
  readonly closed = new Promise<void>((resolve) => {
    this.#settleClosed = resolve;
  });

  constructor(
    readonly key: SessionKey,
    readonly credentials: SessionCredentials,
    /** What it was opened with. */
    readonly certificate: CertificateReference,
    private readonly options: Pick<SessionsOptions, "database" | "writer" | "offlineWriter" | "events" | "now">,
    readonly end: (error: IngestError) => void,
    private readonly onClose: () => void,
  ) {}

  /** How long ago it was opened, in milliseconds. */
  get ageMs(): number {
    return performance.now() - this.#openedAt;
  }

  /**
   * Looks once more at what is on record of the agent: the caller may have been identified long before its first message,
   * and who changes the record finds the session only from here on.
   *
   * @throws IngestError why the agent may not hold it, `database_unavailable`
   */
  async requireStanding(): Promise<void> {
    const { agentId } = this.key;
    const [found] = await findDoubtfulSessions(this.options.database.db, [this.credentials]).catch((error: unknown) => {
      throw toDatabaseError(error);
    });
    const objection = found && findObjection(agentId, found);
    if (objection !== undefined) throw objection;
  }

  /**
   * Stores one heartbeat; resolves when it is committed.
   *
   * @throws IngestError `agent_not_found`, `agent_not_allowed`, `database_unavailable`
   */
  async record(raw: RawHeartbeatReport): Promise<void> {
    const { inventory, ...vitals } = clampHeartbeatReport(raw);
    const { agentId, hostId, organisationId, epoch } = this.key;
    const receivedAt = this.options.now?.() ?? new Date();
    const inventoryJson = JSON.stringify(inventory);
    const digest = createHash("sha256").update(inventoryJson).digest("base64");
    const isDue = this.#written?.digest !== digest || receivedAt.getTime() - this.#written.at >= INVENTORY_REWRITE_MS;
    await this.options.writer.write(
      {
        metricId: createId(),
        agentId,
        hostId,
        organisationId,
        epoch,
        receivedAt,
        ...vitals,
        metadata: isDue ? toMetadata(inventory) : null,
        ipAddresses: isDue ? inventory.ipAddresses : null,
      },
      REPORT_BASE_BYTES + (isDue ? inventoryJson.length : 0),
    );
    if (isDue) this.#written = { digest, at: receivedAt.getTime() };
    this.#heartbeats += 1;
  }

  /** Marks the agent offline if this is its current session; its stream has ended. */
  async close(): Promise<void> {
    if (this.#closing) return this.closed;
    this.#closing = true;
    const { offlineWriter, events } = this.options;
    const durationMs = Math.round(performance.now() - this.#openedAt);
    events.sessionClosed({ ...this.key, durationMs, heartbeats: this.#heartbeats });
    try {
      await offlineWriter.write(this.key);
    } catch (error) {
      events.closeFailed({ ...this.key, error });
    } finally {
      this.onClose();
      this.#settleClosed();
    }
  }
}

function toMetadata({ disks, networkInterfaces }: HostInventory): Record<string, unknown> {
  return { disks, network_interfaces: networkInterfaces };
}
