import type { ChannelModel } from "amqplib";
import type { BrokerEvents } from "../events.js";
import type { PublishOutcome } from "../publisher.js";
import { prepareTopology, type TopologyOptions } from "./topology.js";

/** Queues that somebody deletes again and again are declared this often. */
const INTERVAL_MS = 1_000;

/** What a {@link TopologyRestorer} needs. */
export interface TopologyRestorerOptions {
  /** Names it in the log. */
  broker: string;
  topology: TopologyOptions;
  events: BrokerEvents;
  /** Told why queues could not be declared. */
  onProblem: (error: Error) => void;
}

/** Declares queues again that were deleted after the connection was made, or whose binding was. */
export class TopologyRestorer {
  /** When the topology was prepared last; never, while that is under way. */
  #preparedAt = performance.now();
  #isRestorable = true;

  constructor(
    private readonly connection: ChannelModel,
    private readonly options: TopologyRestorerOptions,
  ) {}

  /**
   * What became of a message that came back, since no queue is bound for it. Queues of our own that are gone are declared
   * again, and then the broker takes the message, later; otherwise somebody else has to bind a queue.
   */
  outcomeOfReturned(): PublishOutcome {
    if (!this.options.topology.declare) return "unroutable";
    if (performance.now() - this.#preparedAt >= INTERVAL_MS) void this.#restore();
    return this.#isRestorable ? "refused" : "unroutable";
  }

  async #restore(): Promise<void> {
    const { broker, topology, events, onProblem } = this.options;
    this.#preparedAt = Number.POSITIVE_INFINITY;
    try {
      await prepareTopology(this.connection, topology);
      this.#isRestorable = true;
      events.topologyRestored({ broker });
    } catch (error) {
      this.#isRestorable = false;
      events.topologyNotRestored({ broker, error });
      onProblem(new Error(`the queues could not be declared: ${(error as Error).message}`, { cause: error }));
    }
    this.#preparedAt = performance.now();
  }
}
