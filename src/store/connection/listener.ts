import { setTimeout as delay } from "node:timers/promises";
import { type BackoffOptions, backoffDelayMs } from "../../lib/async/backoff.js";
import { openConnection } from "./connection.js";

/** The channel that the triggers of `drizzle/ingest` notify. */
const CHANNEL = "ct_ops_ingest";
const RECONNECT: BackoffOptions = { baseMs: 200, maxMs: 10_000 };
/** A connection that is gone without a word delivers nothing, which looks like nothing to deliver. */
const PROBE_INTERVAL_MS = 15_000;
const POLICY = { purpose: "listener", statementTimeoutMs: 4_000 };

/** What somebody changed, as far as a notification tells. */
export type Change =
  | { kind: "agent"; agentId: string }
  /** The agent opened a session on another instance than the one that held its last. */
  | { kind: "session"; agentId: string }
  | { kind: "certificate"; serial: string }
  | { kind: "agent CA" }
  /** Of a host. */
  | { kind: "checks" | "queries"; hostId: string }
  /** Rows of a task run. */
  | { kind: "run"; runId: string }
  /** Checks, queries or tasks of many hosts. */
  | { kind: "work" }
  /** Somebody who publishes nothing wrote messages. */
  | { kind: "outbox" };

/** What a {@link Listener} tells. */
export interface ListenerOptions {
  url: string;
  /** A hint that something changed: read the truth from the tables. */
  onChange: (change: Change) => void;
  /** It listens, for the first time or again: what changed before is known to nobody, so read everything. */
  onListening: () => void;
  /** The connection broke, or could not be made; it is tried again. */
  onDisconnected: (event: { attempt: number; error: unknown }) => void;
}

/** Hears what changes in the database, on a connection of its own that comes back by itself. */
export class Listener {
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;

  constructor(private readonly options: ListenerOptions) {
    this.#ended = this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#listen(() => {
          failures = 0;
        });
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        this.options.onDisconnected({ attempt: failures, error });
        await pause(backoffDelayMs(failures, RECONNECT), signal);
      }
    }
  }

  /** Listens until the listener is closed, or rejects with what the connection broke of. */
  async #listen(onListening: () => void): Promise<void> {
    const client = await openConnection(this.options.url, { ...POLICY, signal: this.#closing.signal });
    const over = new AbortController();
    client.on("error", (error) => over.abort(error));
    client.on("end", () => over.abort(new Error("the database closed the connection")));
    client.on("notification", ({ payload = "" }) => {
      const change = parseChange(payload);
      if (change !== undefined) this.options.onChange(change);
    });
    try {
      await client.query(`listen ${CHANNEL}`);
      onListening();
      this.options.onListening();
      for (;;) {
        await pause(PROBE_INTERVAL_MS, over.signal);
        over.signal.throwIfAborted();
        await client.query("select 1");
      }
    } finally {
      // A connection that does not answer has a query under way, and is cut for it.
      void client.end().catch(() => {});
    }
  }
}

function parseChange(payload: string): Change | undefined {
  if (payload === "agent_cas") return { kind: "agent CA" };
  if (payload === "work" || payload === "outbox") return { kind: payload };
  const [, kind, id = ""] = /^([a-z]+):(.*)$/s.exec(payload) ?? [];
  if (kind === "agent" || kind === "session") return { kind, agentId: id };
  if (kind === "certificate") return { kind, serial: id };
  if (kind === "checks" || kind === "queries") return { kind, hostId: id };
  return kind === "run" ? { kind, runId: id } : undefined;
}

/** Waits, and no longer than until the signal is aborted. */
async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  await delay(durationMs, undefined, { signal, ref: false }).catch(() => {});
}
