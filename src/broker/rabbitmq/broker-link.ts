import { setTimeout as delay } from "node:timers/promises";
import type { ChannelModel, ConfirmChannel } from "amqplib";
import { type AmqpAddress, describeAmqpAddress } from "../../lib/formats/amqp-url.js";
import type { BrokerEvents } from "../events.js";
import type { Topic } from "../messages/topics.js";
import type { OutgoingMessage, PublishOutcome } from "../publisher.js";
import { type BrokerTlsFiles, openBrokerConnection } from "./broker-connection.js";
import { PublishBatch } from "./publish-batch.js";
import { prepareTopology, type TopologyOptions } from "./topology.js";
import { TopologyRestorer } from "./topology-restorer.js";

const APP_ID = "ct-ops-ingest";
const GOODBYE_TIMEOUT_MS = 1_000;

/** What {@link openBrokerLink} needs. */
export interface BrokerLinkOptions {
  address: AmqpAddress;
  tls: BrokerTlsFiles;
  topology: TopologyOptions;
  /** Names this instance to the broker. */
  instanceId: string;
  events: BrokerEvents;
  /** The broker takes messages again. */
  onUnblocked: () => void;
  /** Something failed that the link goes on after. */
  onProblem: (error: Error) => void;
  /** A link on which a message waits longer for its confirm is given up, in milliseconds. */
  confirmTimeoutMs: number;
  /** The broker closed a channel for a longer message than this: those are not sent to it. */
  maxMessageBytes: number;
}

/** Connects, prepares the topology, and opens a channel with confirms; given up when the signal is aborted. */
export async function openBrokerLink(options: BrokerLinkOptions, signal: AbortSignal): Promise<BrokerLink> {
  const { address, tls, topology, instanceId, events } = options;
  const cut = new AbortController();
  const onAbort = () => cut.abort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    const connection = await openBrokerConnection(address, tls, `${APP_ID} ${instanceId}`, cut.signal);
    for (const different of await prepareTopology(connection, topology)) events.queueDiffers(different);
    const channel = await connection.createConfirmChannel();
    const link = new BrokerLink(connection, channel, cut, options);
    const { version } = connection.connection.serverProperties;
    events.connected({ broker: describeAmqpAddress(address), version });
    return link;
  } catch (error) {
    cut.abort();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * One connection with one channel in confirm mode, for as long as both live: when either closes the link is broken, and
 * what had no confirm by then is `lost`.
 */
export class BrokerLink {
  /** In the order in which they were sent. */
  readonly #batches = new Set<PublishBatch>();
  /** Ids of messages that came back; the broker confirms them right after. */
  readonly #returned = new Set<string>();
  readonly #restorer: TopologyRestorer;
  readonly #stallTimer: NodeJS.Timeout;
  #blocked: string | undefined;
  #confirmed = 0;
  #isBroken = false;
  #breakWith: (error: Error) => void = () => {};
  /** Resolves with what it broke of. */
  readonly broken = new Promise<Error>((resolve) => {
    this.#breakWith = (error) => {
      this.#isBroken = true;
      resolve(error);
    };
  });

  constructor(
    private readonly connection: ChannelModel,
    private readonly channel: ConfirmChannel,
    /** Cuts the connection: amqplib only says goodbye, also to a peer that is silent. */
    private readonly cut: AbortController,
    private readonly options: BrokerLinkOptions,
  ) {
    let reason: Error | undefined;
    channel.on("error", (error) => {
      reason ??= error;
    });
    // A connection that the broker closes says why only after its channels closed.
    channel.on("close", () => {
      this.#isBroken = true;
      setImmediate(() => this.#breakWith(reason ?? new Error("the channel closed")));
    });
    connection.on("error", (error) => {
      reason ??= error;
    });
    connection.on("close", (error) => this.#breakWith(reason ?? error ?? new Error("the connection closed")));
    channel.on("return", ({ properties }) => this.#returned.add(properties.messageId));
    const broker = describeAmqpAddress(options.address);
    this.#restorer = new TopologyRestorer(connection, { broker, ...options });
    connection.on("blocked", (why) => {
      this.#blocked = why;
      options.events.blocked({ broker, reason: why });
    });
    connection.on("unblocked", () => {
      this.#blocked = undefined;
      for (const batch of this.#batches) batch.waitingSince = performance.now();
      options.events.unblocked({ broker });
      options.onUnblocked();
    });
    this.#stallTimer = setInterval(() => this.#findStall(), options.confirmTimeoutMs / 10);
    this.#stallTimer.unref();
    void this.broken.then(() => {
      clearInterval(this.#stallTimer);
      this.cut.abort();
      for (const batch of this.#batches) batch.abandon();
    });
  }

  /** Whether it takes messages at the moment. */
  get isReady(): boolean {
    return !this.#isBroken && this.#blocked === undefined;
  }

  /** Why the broker takes nothing although it is connected. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  /** Messages it confirmed. */
  get confirmed(): number {
    return this.#confirmed;
  }

  /** Messages that wait for their confirm. */
  get inFlight(): number {
    let pending = 0;
    for (const batch of this.#batches) pending += batch.pending;
    return pending;
  }

  /** As {@link Publisher.publish}. */
  publish(topic: Topic, messages: readonly OutgoingMessage[]): Promise<readonly PublishOutcome[]> {
    if (messages.length === 0) return Promise.resolve([]);
    return new Promise((resolve) => {
      const batch = new PublishBatch(messages.length, (outcomes) => {
        this.#batches.delete(batch);
        resolve(outcomes);
      });
      this.#batches.add(batch);
      messages.forEach((message, index) => {
        this.#send(topic, message, (outcome) => batch.settle(index, outcome));
      });
    });
  }

  /** Waits for outstanding confirms, for so long at most; then says goodbye and closes. */
  async close(drainMs: number): Promise<void> {
    const isOver = new AbortController();
    void this.broken.then(() => isOver.abort());
    const deadline = performance.now() + drainMs;
    while (this.#batches.size > 0 && performance.now() < deadline && !isOver.signal.aborted) await delay(10);
    if (isOver.signal.aborted) return;
    const goodbye = this.connection.close().catch(() => {});
    await Promise.race([goodbye, delay(GOODBYE_TIMEOUT_MS, undefined, { ref: false })]);
    this.#breakWith(new Error("closing"));
    await this.broken;
  }

  #send(topic: Topic, { id, type, timestamp, body }: OutgoingMessage, settle: (outcome: PublishOutcome) => void): void {
    const properties = {
      mandatory: true,
      persistent: true,
      contentType: "application/json",
      messageId: id,
      timestamp,
      type,
      appId: APP_ID,
    };
    const content = Buffer.from(body);
    if (content.length > this.options.maxMessageBytes) {
      settle("unroutable");
      return;
    }
    try {
      this.channel.publish(this.options.topology.exchange, topic, content, properties, (error) => {
        const wasReturned = this.#returned.delete(id);
        if (error) settle(error.message === "message nacked" ? "refused" : "lost");
        else if (wasReturned) settle(this.#restorer.outcomeOfReturned());
        else {
          this.#confirmed += 1;
          settle("confirmed");
        }
      });
    } catch {
      // The channel closed a moment ago.
      settle("lost");
    }
  }

  #findStall(): void {
    const [oldest] = this.#batches;
    if (oldest === undefined || this.#blocked !== undefined) return;
    const { confirmTimeoutMs } = this.options;
    if (performance.now() - oldest.waitingSince > confirmTimeoutMs) {
      this.#breakWith(new Error(`the broker did not confirm a message within ${confirmTimeoutMs} ms`));
    }
  }
}
