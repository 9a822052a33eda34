import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HeartbeatRequestSchema, HeartbeatResponse } from "#gen/agent/v1/heartbeat_pb.js";
import { openConnection, type ServiceAddress } from "./connection.js";
import type { AgentIdentity } from "./register.js";

type HeartbeatRequestInit = MessageInitShape<typeof HeartbeatRequestSchema>;

/** What a heartbeat reports: the request without the agent's id, which the stream fills in. */
export type Vitals = Omit<HeartbeatRequestInit, "agentId" | "$typeName" | "$unknown">;

/** An open heartbeat stream. */
export interface HeartbeatStream {
  /**
   * Sends a heartbeat; resolves with the answer that acknowledges it. Several at once are answered in order.
   *
   * @throws ConnectError what the stream ended with
   */
  send(vitals: Vitals): Promise<HeartbeatResponse>;
  /** Ends the stream in order; resolves when the service has ended its side. */
  end(): Promise<void>;
  /** Cuts the connection. */
  destroy(): void;
  /** Resolves when the stream has ended, with the error if it ended with one. Never rejects. */
  readonly closed: Promise<unknown>;
}

/** What {@link openHeartbeatStream} tells. */
export interface HeartbeatStreamOptions {
  /** The service asks for something: it answers no heartbeat. */
  onPush?: (response: HeartbeatResponse) => void;
}

/** Opens a heartbeat stream over a connection of its own. The JWT goes with the first heartbeat. */
export function openHeartbeatStream(
  service: ServiceAddress,
  identity: AgentIdentity,
  { onPush = () => {} }: HeartbeatStreamOptions = {},
): HeartbeatStream {
  const connection = openConnection(service, identity);
  const cancellation = new AbortController();
  const requests = new RequestQueue();
  /** The heartbeats that are not acknowledged yet, the oldest first. */
  const sent: { resolve: (response: HeartbeatResponse) => void; reject: (error: unknown) => void }[] = [];
  let isFirst = true;
  let settleClosed: (error?: unknown) => void = () => {};
  const closed = new Promise<unknown>((resolve) => {
    settleClosed = resolve;
  });
  let end: { error: unknown } | undefined;
  const finish = (error?: unknown) => {
    if (end !== undefined) return;
    end = { error: error ?? new Error("the heartbeat stream is closed") };
    requests.end();
    cancellation.abort();
    connection.close();
    for (const { reject } of sent.splice(0)) reject(end.error);
    settleClosed(error);
  };

  // Reads all the time, so that the end of the stream is noticed while nothing is being sent. Not every read of a
  // connection that is cut settles: whoever waits is told by `finish`.
  const read = async () => {
    for await (const response of connection.client.heartbeat(requests, { signal: cancellation.signal })) {
      if (isPush(response)) onPush(response);
      else sent.shift()?.resolve(response);
    }
  };
  read().then(
    () => finish(),
    (error: unknown) => finish(error),
  );

  return {
    closed,
    send: (vitals) =>
      new Promise((resolve, reject) => {
        if (end !== undefined) {
          reject(end.error);
          return;
        }
        sent.push({ resolve, reject });
        requests.push({ ...vitals, agentId: isFirst ? identity.accessToken : identity.agentId });
        isFirst = false;
      }),
    end: async () => {
      requests.end();
      await closed;
    },
    destroy: () => finish(),
  };
}

/** Acknowledgements and pushed responses both say `ok` (wire contract); a pushed one asks for something besides. */
function isPush(response: HeartbeatResponse): boolean {
  const { checks, pendingQueries, cancelTaskIds, pendingTerminalSessions, cancelTerminalSessions } = response;
  const lists = [checks, pendingQueries, cancelTaskIds, pendingTerminalSessions, cancelTerminalSessions];
  return (
    lists.some(({ length }) => length > 0) ||
    response.pendingTask !== undefined ||
    response.updateAvailable ||
    response.command !== "" ||
    response.pendingClientCertPem !== "" ||
    response.pendingServerCertPem !== ""
  );
}

/** What is to be sent, as the client reads it. */
class RequestQueue implements AsyncIterable<HeartbeatRequestInit> {
  readonly #items: HeartbeatRequestInit[] = [];
  #ended = false;
  #wake: () => void = () => {};

  push(item: HeartbeatRequestInit): void {
    this.#items.push(item);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<HeartbeatRequestInit> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) yield item;
      else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
