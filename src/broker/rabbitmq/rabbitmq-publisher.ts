import { setTimeout as delay } from "node:timers/promises";
import { abortable } from "../../lib/async/abortable.js";
import { type BackoffOptions, backoffDelayMs } from "../../lib/async/backoff.js";
import { type AmqpAddress, describeAmqpAddress } from "../../lib/formats/amqp-url.js";
import type { BrokerEvents } from "../events.js";
import type { Topic } from "../messages/topics.js";
import type { OutgoingMessage, Publisher, PublisherState, PublishOutcome } from "../publisher.js";
import type { BrokerTlsFiles } from "./broker-connection.js";
import { type BrokerLink, openBrokerLink } from "./broker-link.js";
import type { TopologyOptions } from "./topology.js";

/** How long a {@link RabbitMqPublisher} waits for what, in milliseconds. */
export interface PublisherTiming {
  reconnect: BackoffOptions;
  /** A connection on which a message waits longer for its confirm is given up. */
  confirmTimeoutMs: number;
  /** A connection that lived this long was a good one: the next failure starts the backoff anew. */
  goodConnectionMs: number;
  /** How long closing waits for confirms. */
  drainMs: number;
}

const TIMING: PublisherTiming = {
  reconnect: { baseMs: 500, maxMs: 30_000 },
  confirmTimeoutMs: 30_000,
  goodConnectionMs: 10_000,
  drainMs: 3_000,
};

/** What a {@link RabbitMqPublisher} needs. */
export interface RabbitMqPublisherOptions {
  /** Nodes of one broker; they are tried in turn. */
  addresses: readonly AmqpAddress[];
  tls: BrokerTlsFiles;
  topology: TopologyOptions;
  /** Names this instance to the broker. */
  instanceId: string;
  events: BrokerEvents;
  /** It takes messages, for the first time or again. */
  onReady?: () => void;
  timing?: Partial<PublisherTiming> | undefined;
}

/**
 * Publishes to RabbitMQ with publisher confirms, on a connection that comes back by itself. It keeps no messages: what
 * has no confirm when the connection breaks is `lost`, and for the caller to publish again. Callers bound what is in
 * flight.
 */
export class RabbitMqPublisher implements Publisher {
  readonly #timing: PublisherTiming;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  #link: BrokerLink | undefined;
  #isDraining = false;
  /** On links that are broken. */
  #confirmedBefore = 0;
  #attempts = 0;
  /** The longest message that the broker takes, once it said so. */
  #maxMessageBytes = Number.POSITIVE_INFINITY;
  #lastError: PublisherState["lastError"];

  constructor(private readonly options: RabbitMqPublisherOptions) {
    this.#timing = { ...TIMING, ...options.timing };
    this.#ended = this.#run();
  }

  get isReady(): boolean {
    return this.#link?.isReady === true && !this.#isDraining;
  }

  get state(): PublisherState {
    return {
      broker: describeAmqpAddress(this.#address),
      connected: this.#link !== undefined,
      blocked: this.#link?.blocked,
      inFlight: this.#link?.inFlight ?? 0,
      confirmed: this.#confirmedBefore + (this.#link?.confirmed ?? 0),
      lastError: this.#lastError,
    };
  }

  publish(topic: Topic, messages: readonly OutgoingMessage[]): Promise<readonly PublishOutcome[]> {
    if (this.#link === undefined || this.#isDraining) return Promise.resolve(messages.map(() => "lost"));
    return this.#link.publish(topic, messages);
  }

  async close(): Promise<void> {
    this.#isDraining = true;
    await this.#link?.close(this.#timing.drainMs);
    this.#closing.abort();
    await this.#ended;
  }

  get #address(): AmqpAddress {
    const { addresses } = this.options;
    const address = addresses[this.#attempts % addresses.length];
    if (address === undefined) throw new Error("a publisher needs the address of a broker");
    return address;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    while (!this.#isDraining) {
      const startedAt = performance.now();
      const error = await this.#holdLink(signal);
      if (this.#isDraining) return;
      // A broker that comes back for another reason may take longer ones.
      this.#maxMessageBytes = readMaxMessageBytes(error) ?? Number.POSITIVE_INFINITY;
      const wasGood = performance.now() - startedAt >= this.#timing.goodConnectionMs;
      failures = wasGood ? 1 : failures + 1;
      this.#note(error);
      const broker = describeAmqpAddress(this.#address);
      this.options.events.disconnected({ broker, attempt: failures, error });
      this.#attempts += 1;
      await delay(backoffDelayMs(failures, this.#timing.reconnect), undefined, { signal, ref: false }).catch(() => {});
    }
  }

  #note(error: unknown): void {
    this.#lastError = { message: error instanceof Error ? error.message : String(error), at: new Date() };
  }

  /** Publishes through a link until it breaks; returns what it broke of, or could not be made for. */
  async #holdLink(signal: AbortSignal): Promise<unknown> {
    const { onReady = () => {} } = this.options;
    const { confirmTimeoutMs } = this.#timing;
    try {
      const opening = openBrokerLink(
        {
          ...this.options,
          address: this.#address,
          confirmTimeoutMs,
          maxMessageBytes: this.#maxMessageBytes,
          onUnblocked: onReady,
          onProblem: (problem) => this.#note(problem),
        },
        signal,
      );
      // amqplib never settles some of what was under way on a connection that is cut.
      const link = await abortable(opening, signal);
      if (this.#isDraining) await link.close(0);
      this.#link = link;
      onReady();
      const error = await link.broken;
      this.#confirmedBefore += link.confirmed;
      return error;
    } catch (error) {
      return error;
    } finally {
      this.#link = undefined;
    }
  }
}

/**
 * What RabbitMQ closes a channel with for a message that is longer than it takes. AMQP has no other way to learn the
 * limit, and whoever sends that message again loses each further channel, with everything that is under way.
 */
function readMaxMessageBytes(error: unknown): number | undefined {
  const [, limit] = /message size \d+ is larger than configured max size (\d+)/.exec(String(error)) ?? [];
  return limit === undefined ? undefined : Number(limit);
}
