import { IngestError } from "../../errors.js";
import { isClean } from "../../lib/formats/bounded-text.js";
import { PackageSet, type RawPackage } from "./software-packages.js";

/** One message of an upload, as it came over the wire. */
export interface RawInventoryChunk {
  /** The task's id, the same in every chunk. */
  scanId: string;
  agentId: string;
  source: string;
  /** From 0. */
  chunkIndex: number;
  isLast: boolean;
  packages: readonly RawPackage[];
}

/** What one upload may bring. */
export const MAX_PACKAGES = 50_000;
const MAX_CHUNKS = 10_000;
const MAX_TEXT_LENGTH = 16 * 1024 * 1024;
const MAX_SOURCE = 64;

/** Puts the chunks of one upload together. */
export class InventoryUpload {
  readonly startedAt = new Date();
  /** Packages over all chunks, doubles included. */
  received = 0;
  /** Empty before the first chunk. */
  scanId = "";
  source = "other";
  isComplete = false;
  readonly #packages = new PackageSet();
  #chunks = 0;
  #textLength = 0;

  constructor(private readonly agentId: string) {}

  get packages(): PackageSet["rows"] {
    return this.#packages.rows;
  }

  /**
   * Adds the next chunk.
   *
   * @throws IngestError `invalid_field`, `too_much`
   */
  add(chunk: RawInventoryChunk): void {
    if (chunk.agentId !== "" && chunk.agentId !== this.agentId) {
      throw invalid(`agent_id: names another agent than the certificate, which is that of ${this.agentId}`);
    }
    if (this.isComplete) throw invalid("is_last: a further chunk came after the last one");
    if (chunk.chunkIndex !== this.#chunks) {
      throw invalid(`chunk_index: expected ${this.#chunks}, and got ${chunk.chunkIndex}`);
    }
    if (this.#chunks === 0) {
      if (chunk.scanId === "") throw invalid("scan_id: missing; expected the id of the task");
      // PostgreSQL refuses the statement that looks for it.
      if (!isClean(chunk.scanId)) throw invalid("scan_id: no task has an id with control characters");
      this.scanId = chunk.scanId;
      this.source = chunk.source.slice(0, MAX_SOURCE).replaceAll("\0", "").toWellFormed() || "other";
    } else if (chunk.scanId !== this.scanId) {
      throw invalid("scan_id: differs from that of the first chunk");
    }
    this.#chunks += 1;
    this.received += chunk.packages.length;
    for (const { name, version, architecture, publisher } of chunk.packages) {
      this.#textLength += name.length + version.length + architecture.length + publisher.length;
    }
    if (this.received > MAX_PACKAGES || this.#chunks > MAX_CHUNKS || this.#textLength > MAX_TEXT_LENGTH) {
      throw new IngestError(
        "too_much",
        `an upload may bring ${MAX_PACKAGES} packages in ${MAX_CHUNKS} chunks and 16 MiB of text; this one brings more`,
      );
    }
    for (const each of chunk.packages) this.#packages.add(each);
    this.isComplete = chunk.isLast;
  }
}

function invalid(message: string): IngestError {
  return new IngestError("invalid_field", message);
}
