import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { createGrpcClient, type TestAddress, type TestCredentials } from "./field-agent.js";

/** One message of an upload as grpc-js sends it. */
export type TestChunk = Record<string, unknown>;

/** Uploads a software inventory over a connection of its own, as an installed agent does. */
export async function uploadInventory(
  service: TestAddress,
  identity: TestCredentials | undefined,
  jwt: string,
  chunks: readonly TestChunk[],
  signal?: AbortSignal,
): Promise<{ received: number }> {
  const client = createGrpcClient(service, identity);
  const metadata = new Metadata();
  if (jwt !== "") metadata.set("authorization", `Bearer ${jwt}`);
  let cancel = () => {};
  const onAbort = () => cancel();
  try {
    // One that ended a moment ago is told of no abort any more.
    signal?.throwIfAborted();
    signal?.addEventListener("abort", onAbort);
    return await new Promise<{ received: number }>((resolve, reject) => {
      const call = (
        client as unknown as {
          submitSoftwareInventory(
            metadata: Metadata,
            callback: (error: ServiceError | null, reply: { received: number }) => void,
          ): { write(chunk: TestChunk): void; end(): void; cancel(): void };
        }
      ).submitSoftwareInventory(metadata, (error, reply) => (error ? reject(error) : resolve(reply)));
      for (const chunk of chunks) call.write(chunk);
      call.end();
      cancel = () => call.cancel();
    });
  } finally {
    signal?.removeEventListener("abort", onAbort);
    client.close();
  }
}
