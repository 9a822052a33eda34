import { IngestError } from "../../errors.js";
import { Slots } from "../../lib/bounds/slots.js";
import { createId } from "../../lib/ids.js";
import { toDatabaseError } from "../../store/database.js";
import { findInventoryTask, type InventoryTask, noteSoftwareScan } from "../../store/work/inventory.js";
import type { WorkHost } from "../../store/work/work-host.js";
import type { CallingHost } from "../calling-host.js";
import { InventoryUpload, type RawInventoryChunk } from "./inventory-upload.js";
import { InventoryWriter, type InventoryWriterOptions } from "./inventory-writer.js";

/** Uploads that are read at a time; each holds 16 MB of text at most. The others wait, unread. */
const MAX_UPLOADS = 4;
/** Longest wait for the next chunk: an upload that stalls must not keep the others waiting. */
const CHUNK_TIMEOUT_MS = 60_000;
/** Longest that an upload may take in all: one that trickles must not either. */
const UPLOAD_TIMEOUT_MS = 5 * 60_000;
/** What is read, and thrown away, of an upload that is refused, and for how long. */
const MAX_DRAINED_CHUNKS = 1_000;
const DRAIN_TIMEOUT_MS = 10_000;

/** What {@link InventoryUploads} needs. */
export interface InventoryUploadsOptions extends InventoryWriterOptions {
  /** 60 seconds unless told otherwise. */
  chunkTimeoutMs?: number | undefined;
  /** Five minutes unless told otherwise. */
  uploadTimeoutMs?: number | undefined;
}

/**
 * Receives software inventories. An upload is stored as a whole, in one transaction, when its last chunk is there: one
 * that breaks off removes nothing.
 */
export class InventoryUploads {
  readonly #slots = new Slots(MAX_UPLOADS);
  readonly #writer: InventoryWriter;

  constructor(private readonly options: InventoryUploadsOptions) {
    this.#writer = new InventoryWriter(options);
  }

  /**
   * Receives one upload.
   *
   * @param signal aborted when the caller is gone
   * @returns how many packages came, doubles included
   * @throws IngestError `invalid_field`, `task_not_found`, `too_much`, `database_unavailable`
   */
  receive(
    host: CallingHost & { agentId: string },
    chunks: AsyncIterable<RawInventoryChunk>,
    signal: AbortSignal,
  ): Promise<number> {
    return this.#slots.run(signal, async () => {
      const upload = new InventoryUpload(host.agentId);
      const incoming = chunks[Symbol.asyncIterator]();
      const { uploadTimeoutMs = UPLOAD_TIMEOUT_MS } = this.options;
      const until = performance.now() + uploadTimeoutMs;
      let task: InventoryTask | undefined;
      try {
        for (let next = await this.#next(incoming, until); !next.done; next = await this.#next(incoming, until)) {
          upload.add(next.value);
          task ??= await this.#requireTask(upload.scanId, host);
        }
        if (!upload.isComplete)
          throw new IngestError("invalid_field", "is_last: the upload ended without a last chunk");
      } catch (error) {
        if (task?.isOpen) await this.#fail(host, upload, error);
        // An agent whose upload is answered before it has ended reports `EOF` and not why.
        if (error instanceof IngestError && error.code !== "deadline") await this.#drain(incoming);
        throw error;
      }
      await this.#store(host, upload);
      return upload.received;
    });
  }

  async #drain(incoming: AsyncIterator<RawInventoryChunk>): Promise<void> {
    const until = performance.now() + DRAIN_TIMEOUT_MS;
    for (let count = 0; count < MAX_DRAINED_CHUNKS; count++) {
      const next = await this.#next(incoming, until).catch(() => undefined);
      if (next === undefined || next.done) return;
    }
  }

  /** The next chunk, within the time that one may take, and until then at the latest. */
  async #next(incoming: AsyncIterator<RawInventoryChunk>, until: number): Promise<IteratorResult<RawInventoryChunk>> {
    const { chunkTimeoutMs = CHUNK_TIMEOUT_MS } = this.options;
    const leftMs = until - performance.now();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      const what =
        leftMs < chunkTimeoutMs ? "the upload took too long" : `no chunk came for ${chunkTimeoutMs / 1000} seconds`;
      timer = setTimeout(() => reject(new IngestError("deadline", what)), Math.min(chunkTimeoutMs, leftMs));
    });
    try {
      return await Promise.race([incoming.next(), timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #requireTask(taskId: string, host: WorkHost): Promise<InventoryTask> {
    const task = await findInventoryTask(this.options.database.db, taskId, host).catch((error: unknown) => {
      throw toDatabaseError(error);
    });
    if (task === undefined) {
      throw new IngestError("task_not_found", `scan_id: this host has no task ${JSON.stringify(taskId)}`);
    }
    if (!task.isInventory) throw new IngestError("invalid_field", `scan_id: task ${taskId} is no software inventory`);
    // One that timed out may still be of use, once. Without an end an agent could fill the table with what it invents.
    if (!task.isOpen && task.isScanned) {
      throw new IngestError("task_not_found", `scan_id: task ${taskId} is over, and its inventory is stored`);
    }
    return task;
  }

  async #store(host: CallingHost, upload: InventoryUpload): Promise<void> {
    const { database, events } = this.options;
    const { scanId: taskId, source, startedAt } = upload;
    const scan = { id: createId(), taskId, source, startedAt, ...hostOf(host) };
    const { counts, finished } = await this.#writer.write({ scan, packages: upload.packages });
    events.tasksFinished(finished);
    const packages = counts?.packages ?? 0;
    events.inventoryFinished({ ...hostOf(host), ...host.call, taskId, status: "success", packages });
    await noteSoftwareScan(database.db, host, new Date()).catch((error: unknown) =>
      events.failed({ what: "the time of a software scan", ...host.call, error }),
    );
  }

  async #fail(host: CallingHost, upload: InventoryUpload, cause: unknown): Promise<void> {
    const { events } = this.options;
    const { scanId: taskId, source, startedAt } = upload;
    const error = cause instanceof IngestError ? cause.message : "the upload broke off";
    const scan = { id: createId(), taskId, source, startedAt, ...hostOf(host) };
    try {
      const { finished } = await this.#writer.write({ scan, error });
      events.tasksFinished(finished);
    } catch (failure) {
      events.failed({ what: "a software inventory that failed", ...host.call, error: failure });
    }
    events.inventoryFinished({ ...hostOf(host), ...host.call, taskId, status: "failed", error });
  }
}

function hostOf({ hostId, organisationId }: WorkHost): WorkHost {
  return { hostId, organisationId };
}
