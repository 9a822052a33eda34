import type { PublishingDatabase } from "../../outbox/outbox.js";
import { publishEvents } from "../../outbox/publish-events.js";

/** A machine that is refused comes back every minute. */
const QUIET_MS = 60 * 60 * 1000;
const MAX_REMEMBERED = 10_000;

/** A machine that was not enrolled, since it is, or may be, a host that exists. */
export interface RefusedDuplicate {
  organisationId: string;
  publicKey: string;
  hostname: string;
  /** What it was told. */
  reason: string;
}

/** Publishes which machines were taken for duplicates: each once an hour, unless what it is told changes. */
export class DuplicateNotices {
  /** When each was told, the oldest first. */
  readonly #told = new Map<string, number>();

  constructor(private readonly options: PublishingDatabase & { now?: () => number }) {}

  async tell({ organisationId, publicKey, hostname, reason }: RefusedDuplicate): Promise<void> {
    const { database, outbox, now = () => performance.now() } = this.options;
    const key = JSON.stringify([publicKey, reason]);
    const toldAt = this.#told.get(key);
    if (toldAt !== undefined && now() - toldAt < QUIET_MS) return;
    await outbox.transaction(database, async (_, outgoing) =>
      publishEvents(outgoing, "agent.duplicate_refused", () => [{ org_id: organisationId, hostname, reason }]),
    );
    this.#told.delete(key);
    this.#told.set(key, now());
    const [oldest] = this.#told.keys();
    if (this.#told.size > MAX_REMEMBERED && oldest !== undefined) this.#told.delete(oldest);
  }
}
