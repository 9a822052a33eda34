import { createId } from "../../lib/ids.js";
import type { PackageRow } from "../../store/work/inventory.js";
import { cleanText } from "../text.js";

/** A package as it came over the wire. */
export interface RawPackage {
  name: string;
  version: string;
  architecture: string;
  publisher: string;
  /** Unix seconds; 0 when unknown. */
  installDateUnix: bigint;
}

/** A unique index over them takes some 2,700 bytes in all. */
const MAX_NAME = 256;
const MAX_VERSION = 128;
const MAX_ARCHITECTURE = 64;
const MAX_PUBLISHER = 256;
const LATEST_UNIX = 253_402_300_799n;

/**
 * The packages of one scan, each once: some package managers list one twice, and one statement cannot write a row
 * twice.
 */
export class PackageSet {
  readonly #packages = new Map<string, PackageRow>();

  add(raw: RawPackage): void {
    const name = clamp(raw.name, MAX_NAME);
    const version = clamp(raw.version, MAX_VERSION);
    const architecture = clamp(raw.architecture, MAX_ARCHITECTURE);
    const key = `${name}\0${version}\0${architecture}`;
    if (name === "" || this.#packages.has(key)) return;
    const { installDateUnix } = raw;
    this.#packages.set(key, {
      id: createId(),
      name,
      version,
      architecture,
      publisher: clamp(raw.publisher, MAX_PUBLISHER) || null,
      installedAt: installDateUnix > 0n && installDateUnix <= LATEST_UNIX ? Number(installDateUnix) : null,
    });
  }

  get rows(): PackageRow[] {
    return [...this.#packages.values()];
  }
}

function clamp(text: string, maxLength: number): string {
  return cleanText(text.slice(0, maxLength));
}
