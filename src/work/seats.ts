import type { WorkHost } from "../store/work/work-host.js";
import type { Push, Send } from "./push.js";

/** Ids that a session remembers having been sent; past it the oldest are sent again, which an agent drops by itself. */
const MAX_REMEMBERED_IDS = 1_000;

/** The session of a host, as far as work is concerned: what its agent was sent on this stream. */
export class Seat {
  /** Of the checks it was sent; agents keep theirs over streams, so the first read always tells. */
  checksDigest: string | undefined;
  /**
   * Its agent did not take what was sent last. Nothing is started for it until it is looked at again, or one and the
   * same task would be started and put back without a pause.
   */
  isStalled = false;
  /** Most sessions are sent nothing that has an id. */
  #sentIds: Set<string> | undefined;

  constructor(
    readonly host: WorkHost & { agentId: string },
    private readonly handOver: Send,
  ) {}

  /** Sends something; resolves with whether it was handed to the connection. */
  async send(push: Push): Promise<boolean> {
    const isSent = await this.handOver(push);
    this.isStalled = !isSent;
    return isSent;
  }

  /** Whether this id was not sent on this stream yet; it counts as sent from then on. */
  takeUnsent(id: string): boolean {
    this.#sentIds ??= new Set();
    if (this.#sentIds.has(id)) return false;
    this.#sentIds.add(id);
    for (const oldest of this.#sentIds) {
      if (this.#sentIds.size <= MAX_REMEMBERED_IDS) break;
      this.#sentIds.delete(oldest);
    }
    return true;
  }

  /** It was not sent after all. */
  forget(id: string): void {
    this.#sentIds?.delete(id);
  }
}

/** The sessions that this instance holds: one per host, the newest. */
export class Seats {
  readonly #byHost = new Map<string, Seat>();

  add(seat: Seat): void {
    this.#byHost.set(seat.host.hostId, seat);
  }

  remove(seat: Seat): void {
    if (this.#byHost.get(seat.host.hostId) === seat) this.#byHost.delete(seat.host.hostId);
  }

  find(hostId: string): Seat | undefined {
    return this.#byHost.get(hostId);
  }

  /** All of them, or those of some hosts. */
  list(hostIds?: Iterable<string>): Seat[] {
    if (hostIds === undefined) return [...this.#byHost.values()];
    return [...hostIds].flatMap((hostId) => this.#byHost.get(hostId) ?? []);
  }
}
