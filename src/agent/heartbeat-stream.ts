import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HeartbeatRequestSchema, HeartbeatResponse } from "#gen/agent/v1/heartbeat_pb.js";
import { Interruptible } from "../lib/interruptible.js";
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

/** Opens a heartbeat stream over a connection of its own. The JWT goes with the first heartbeat. */
export function openHeartbeatStream(service: ServiceAddress, identity: AgentIdentity): HeartbeatStream {
  const connection = openConnection(service, identity);
  const cancellation = new AbortController();
  const requests = new RequestQueue();
  const responses = new Interruptible(connection.client.heartbeat(requests, { signal: cancellation.signal }));
  let isFirst = true;
  let settleClosed: (error?: unknown) => void = () => {};
  const closed = new Promise<unknown>((resolve) => {
    settleClosed = resolve;
  });
  const finish = (error?: unknown) => {
    requests.end();
    // Not every read of a connection that is cut settles.
    responses.interrupt(error ?? new Error("the heartbeat stream is closed"));
    cancellation.abort();
    connection.close();
    settleClosed(error);
  };

  // Read ahead, so that the end of the stream is noticed while nothing is being sent.
  let pending = read();
  function read(): Promise<IteratorResult<HeartbeatResponse>> {
    const next = responses.next();
    next.then(
      ({ done }) => {
        if (done) finish();
      },
      (error: unknown) => finish(error),
    );
    return next;
  }

  return {
    closed,
    send: async (vitals) => {
      requests.push({ ...vitals, agentId: isFirst ? identity.accessToken : identity.agentId });
      isFirst = false;
      // Taken and replaced in one step: two sends that await the same read would share one acknowledgement.
      const answer = pending;
      pending = answer.then((result) => (result.done ? result : read()));
      pending.catch(() => {});
      const { done, value } = await answer;
      if (done) throw new Error("the service ended the stream");
      return value;
    },
    end: async () => {
      requests.end();
      await closed;
    },
    destroy: () => finish(),
  };
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
