import type { Publisher } from "../../broker/publisher.js";
import type { MessageRow } from "../collected-messages.js";
import type { Lanes } from "./lanes.js";
import type { Leases } from "./leases.js";
import type { Settlements } from "./settlements.js";

/** What {@link Deliveries} need. */
export interface DeliveriesOptions {
  publisher: Publisher;
  leases: Leases;
  settlements: Settlements;
  lanes: Lanes;
  /** Messages were set aside. */
  onSetAside: (event: { topic: string; messages: number }) => void;
}

/** Publishes rows of the outbox, and writes what became of them. */
export class Deliveries {
  readonly #underWay = new Set<Promise<void>>();

  constructor(private readonly options: DeliveriesOptions) {}

  /** Resolves when what became of the row is written. Rows of one topic are published in the order of the calls. */
  async deliver(row: MessageRow): Promise<void> {
    const delivery = this.options.leases.hold(row.id, () => this.#deliver(row));
    this.#underWay.add(delivery);
    try {
      await delivery;
    } finally {
      this.#underWay.delete(delivery);
    }
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  async #deliver(row: MessageRow): Promise<void> {
    const { publisher, settlements, lanes, onSetAside } = this.options;
    const outcomes = await publisher.publish(row.topic, row.messages);
    const those = (...wanted: string[]) =>
      row.messages.filter((_, index) => wanted.includes(outcomes[index] ?? "lost"));
    const left = those("refused", "lost");
    const unroutable = those("unroutable");
    const wasRefused = outcomes.includes("refused");
    if (wasRefused) lanes.refuse(row.topic);
    else if (outcomes.includes("confirmed")) lanes.accept(row.topic);
    if (left.length > 0) lanes.beginLeaving(row.topic);
    await settlements.settle({ row, left, setAside: [...unroutable, ...(row.unreadable ?? [])] });
    if (left.length > 0)
      lanes.endLeaving(row.topic, { committed: true, because: wasRefused ? "no room" : "broker away" });
    if (unroutable.length > 0) onSetAside({ topic: row.topic, messages: unroutable.length });
  }
}
