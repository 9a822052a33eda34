import { type ChannelModel, connect } from "amqplib";
import type { TestDatabase } from "../database/database.js";
import { eventually } from "../eventually.js";

/** Takes all messages of one queue, and counts each; it outlives the broker's restarts. */
export class CountingConsumer {
  readonly #counts = new Map<string, number>();

  constructor(
    private readonly url: string,
    private readonly queue: string,
  ) {}

  /** Messages that came more than once. */
  get repeats(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count - 1, 0);
  }

  /** Consumes until each stored heartbeat has come; fails with what is missing. */
  async takeAll({ query }: TestDatabase): Promise<void> {
    const connection = await eventually(
      () => connect(this.url).catch(() => undefined),
      (opened): opened is ChannelModel => opened !== undefined,
    );
    connection?.on("error", () => {});
    try {
      const channel = await connection?.createChannel();
      await channel?.consume(this.queue, (message) => {
        if (message === null) return;
        const { messageId } = message.properties;
        this.#counts.set(messageId, (this.#counts.get(messageId) ?? 0) + 1);
        channel.ack(message);
      });
      const readStored = async () => new Set((await query("select id from host_metrics")).map(({ id }) => String(id)));
      const wanted = await readStored();
      for (let tries = 0; ; tries += 1) {
        try {
          await eventually(
            async () => {
              // Agents go on meanwhile: what came before this look must be stored at the look.
              const came = [...this.#counts.keys()];
              const stored = await readStored();
              return {
                stored: stored.size,
                missing: [...wanted].filter((id) => !this.#counts.has(id)).length,
                unknown: came.filter((id) => !stored.has(id)).length,
              };
            },
            ({ missing, unknown }) => missing === 0 && unknown === 0,
          );
          return;
        } catch (error) {
          // A broker that has just started takes its time.
          if (tries === 5) throw error;
        }
      }
    } finally {
      await connection?.close().catch(() => {});
    }
  }
}
