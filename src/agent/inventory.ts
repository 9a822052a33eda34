import type { MessageInitShape } from "@bufbuild/protobuf";
import type { SoftwareInventoryChunkSchema } from "#gen/agent/v1/ingest_pb.js";
import { openConnection, type ServiceAddress } from "./connection.js";
import type { AgentIdentity } from "./register.js";

const CHUNK_SIZE = 500;
const CALL_TIMEOUT_MS = 10 * 60_000;

/** A package that is installed. */
export interface InstalledPackage {
  name: string;
  version: string;
  architecture?: string;
  publisher?: string;
  /** Seconds since 1970. */
  installDateUnix?: bigint;
}

/** What is installed on a machine. */
export interface Inventory {
  /** What listed it: `dpkg`, `rpm`, `pacman`, `apk`. */
  source: string;
  packages: Iterable<InstalledPackage>;
}

/** What an upload takes. */
export interface SubmitInventoryOptions extends ServiceAddress {
  identity: AgentIdentity;
  /** The id of the task that asks for it. */
  scanId: string;
  inventory: Inventory;
  signal?: AbortSignal;
}

/**
 * Uploads a software inventory over a connection of its own.
 *
 * @returns how many packages the service received
 * @throws ConnectError
 */
export async function submitInventory(options: SubmitInventoryOptions): Promise<number> {
  const { identity, scanId, inventory, signal, ...service } = options;
  const connection = openConnection(service, identity);
  try {
    const { received } = await connection.client.submitSoftwareInventory(
      toChunks(inventory, { scanId, agentId: identity.agentId }),
      {
        headers: { authorization: `Bearer ${identity.accessToken}` },
        timeoutMs: CALL_TIMEOUT_MS,
        ...(signal && { signal }),
      },
    );
    return received;
  } finally {
    connection.close();
  }
}

/** The last chunk says so; of nothing there is one that is empty. */
async function* toChunks(
  { source, packages }: Inventory,
  ids: { scanId: string; agentId: string },
): AsyncGenerator<MessageInitShape<typeof SoftwareInventoryChunkSchema>> {
  let chunkIndex = 0;
  let chunk: InstalledPackage[] = [];
  for (const installed of packages) {
    if (chunk.length === CHUNK_SIZE) {
      yield { ...ids, source, chunkIndex, packages: chunk };
      chunkIndex += 1;
      chunk = [];
    }
    chunk.push(installed);
  }
  yield { ...ids, source, chunkIndex, packages: chunk, isLast: true };
}
