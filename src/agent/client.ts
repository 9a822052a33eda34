/**
 * A client of the service, by which programs call it without any of what an agent does by itself.
 *
 * @packageDocumentation
 */
import type { Client } from "@connectrpc/connect";
import type { IngestService } from "#gen/agent/v1/ingest_pb.js";
import { openConnection, type Protocol, type ServiceAddress } from "./connection.js";

export type { Protocol };

/** How {@link createIngestClient} reaches the service, and as whom. */
export type IngestClientOptions = ServiceAddress & {
  /** What is spoken over HTTP/2; the service answers all three alike. `grpc` unless told otherwise. */
  protocol?: Protocol;
} & (
    | {
        /** PEM of the client certificate that `register` gave; every call but `register` needs one. */
        certificate: string;
        /** PEM of its private key. */
        key: string;
      }
    | { certificate?: undefined; key?: undefined }
  );

/** A typed method for each RPC of `agent.v1.IngestService`; what is refused rejects with a `ConnectError`. */
export interface IngestClient extends Client<typeof IngestService> {
  /** Cuts the connection; calls under way fail. A process with an open connection does not end by itself. */
  close(): void;
}

/**
 * Makes a client with a connection of its own, which is opened by the first call, and again after it broke.
 *
 * @example
 * ```ts
 * const client = createIngestClient({ address: "ingest.example.org:9443", certificate, key });
 * const { clientCertPem } = await client.renewCertificate({ agentId, csrDer });
 * client.close();
 * ```
 */
export function createIngestClient({ certificate, key, protocol, ...service }: IngestClientOptions): IngestClient {
  const credentials = certificate === undefined ? undefined : { certificatePem: certificate, privateKeyPem: key };
  const { client, close } = openConnection(service, credentials, protocol);
  return { ...client, close };
}
