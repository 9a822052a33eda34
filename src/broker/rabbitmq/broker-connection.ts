import { readFile } from "node:fs/promises";
import { type ChannelModel, connect, credentials, type SocketOptions } from "amqplib";
import { type AmqpAddress, describeAmqpAddress } from "../../lib/formats/amqp-url.js";

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;

/** PEM files for a connection with TLS. They are read anew for each connection, so they may be replaced. */
export interface BrokerTlsFiles {
  /** Certificates of the CAs that the broker's certificate may be of; the system's unless given. */
  caFile?: string | undefined;
  /** The client certificate (chain) and its key. */
  client?: { certFile: string; keyFile: string } | undefined;
}

/**
 * Opens a connection.
 *
 * @param name shown in the broker's list of connections
 * @param signal cuts the connection, also while it is being made. amqplib only says goodbye to a peer that is silent,
 * and keeps the socket.
 */
export async function openBrokerConnection(
  address: AmqpAddress,
  tls: BrokerTlsFiles,
  name: string,
  signal: AbortSignal,
): Promise<ChannelModel> {
  const { protocol, hostname, port, vhost, username, password, hasCredentials, heartbeatS } = address;
  // A client certificate without a user's name is the user (SASL EXTERNAL).
  const isExternal = protocol === "amqps" && tls.client !== undefined && !hasCredentials;
  const options: SocketOptions & { signal: AbortSignal } = {
    signal,
    timeout: CONNECT_TIMEOUT_MS,
    noDelay: true,
    keepAlive: true,
    keepAliveDelay: KEEP_ALIVE_MS,
    clientProperties: { connection_name: name },
    credentials: isExternal ? credentials.external() : credentials.plain(username, password),
    ...(protocol === "amqps" && (await readTlsFiles(tls))),
  };
  try {
    const connection = await connect({ protocol, hostname, port, vhost, heartbeat: heartbeatS }, options);
    // Without a listener it would end the process; `close` says the same.
    connection.on("error", () => {});
    return connection;
  } catch (cause) {
    throw new Error(`cannot connect to ${describeAmqpAddress(address)}: ${messageOf(cause)}`, { cause });
  }
}

async function readTlsFiles({ caFile, client }: BrokerTlsFiles): Promise<Pick<SocketOptions, "ca" | "cert" | "key">> {
  return {
    ...(caFile !== undefined && { ca: await readFile(caFile) }),
    ...(client && { cert: await readFile(client.certFile), key: await readFile(client.keyFile) }),
  };
}

/** What amqplib says of a broker that takes the user and not the virtual host; it leaves out the broker's reason. */
const VHOST_REFUSED = "Expected ConnectionOpenOk; got <ConnectionClose channel:0>";

/** One line, also of OpenSSL; of a name with several addresses behind it, what each of them said. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join("; ");
  const message = (error instanceof Error ? error.message : String(error)).trim().replace(/\s*\n\s*/g, " ");
  return message === VHOST_REFUSED ? "the virtual host does not exist, or the user has no access to it" : message;
}
