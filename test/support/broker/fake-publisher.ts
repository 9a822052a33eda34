import type { Topic } from "../../../dist/broker/messages/index.js";
import type { OutgoingMessage, Publisher, PublisherState, PublishOutcome } from "../../../dist/broker/publisher.js";

/** A publisher whose broker does what the test says. */
export class FakePublisher implements Publisher {
  /** What was confirmed, in its order. */
  readonly confirmed: { topic: Topic; id: string }[] = [];
  /** What was sent, confirmed or not. */
  readonly sent: { topic: Topic; id: string }[] = [];
  /** What becomes of each message. */
  decide: (topic: Topic, message: OutgoingMessage) => PublishOutcome | Promise<PublishOutcome> = () => "confirmed";
  onReady: () => void = () => {};
  #isReady = false;
  #isClosed = false;
  readonly #abandon: (() => void)[] = [];

  get isReady(): boolean {
    return this.#isReady && !this.#isClosed;
  }

  set isReady(isReady: boolean) {
    this.#isReady = isReady;
    if (isReady) this.onReady();
  }

  get state(): PublisherState {
    const { length: confirmed } = this.confirmed;
    const lastError = this.isReady ? undefined : { message: "not connected", at: new Date() };
    return { broker: "fake", connected: this.isReady, blocked: undefined, inFlight: 0, confirmed, lastError };
  }

  async publish(topic: Topic, messages: readonly OutgoingMessage[]): Promise<PublishOutcome[]> {
    if (!this.isReady) return messages.map(() => "lost");
    const closed = new Promise<PublishOutcome>((resolve) => this.#abandon.push(() => resolve("lost")));
    const outcomes = messages.map((message) => {
      this.sent.push({ topic, id: message.id });
      return this.decide(topic, message);
    });
    return Promise.all(
      outcomes.map(async (outcome, index) => {
        const decided = await Promise.race([outcome, closed]);
        if (decided === "confirmed") this.confirmed.push({ topic, id: messages[index]?.id ?? "" });
        return decided;
      }),
    );
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const abandon of this.#abandon) abandon();
  }
}
