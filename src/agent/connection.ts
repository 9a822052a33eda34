import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { IngestService } from "#gen/agent/v1/ingest_pb.js";

/** Where the service is, and how to know it. */
export interface ServiceAddress {
  /** `host:port`. */
  address: string;
  /** PEM of the CA that the server certificate is checked against; without it the system's roots. */
  ca?: string;
}

/** What the agent presents in the TLS handshake. */
export interface ClientCredentials {
  certificatePem: string;
  privateKeyPem: string;
}

/** One TLS connection to the service, speaking gRPC. */
export interface Connection {
  client: Client<typeof IngestService>;
  /** Cuts the connection; calls under way fail. */
  close(): void;
}

/** Prepares a connection, which is made with the first call. Each has its own, as each installed agent has. */
export function openConnection({ address, ca }: ServiceAddress, credentials?: ClientCredentials): Connection {
  const baseUrl = `https://${address}`;
  const sessionManager = new Http2SessionManager(baseUrl, undefined, {
    ...(ca !== undefined && { ca }),
    ...(credentials && { cert: credentials.certificatePem, key: credentials.privateKeyPem }),
  });
  const transport = createGrpcTransport({ baseUrl, sessionManager });
  return { client: createClient(IngestService, transport), close: () => sessionManager.abort() };
}
