import { createHash } from "node:crypto";
import { IngestError } from "../../errors.js";
import { Pace, type PaceLimit } from "../../lib/bounds/pace.js";

/** A newer one takes the place of the one before, which may take a moment to end. */
const MAX_SESSIONS = 2;
const MAX_OTHERS = 2;

/** A call that is under way. */
export interface AgentCall {
  isSession: boolean;
  /** Can end it at once. */
  peer: { reset(): void };
}

/** Keeps each agent to the calls that an agent needs, in a minute and at one time. */
export class AgentCalls {
  readonly #pace: Pace;
  readonly #underWay = new Map<string, readonly AgentCall[]>();

  constructor(limit: PaceLimit) {
    this.#pace = new Pace(limit);
  }

  /**
   * Counts a call against the pace of whoever presents this certificate. It is asked before the certificate is verified,
   * which is what costs: the handshake has shown that the caller has its key, so nobody can use up the turns of another.
   *
   * @throws IngestError `too_many_calls`
   */
  requireTurn(method: string, certificateDer: Uint8Array | undefined): void {
    if (certificateDer === undefined) return;
    const certificate = createHash("sha256").update(certificateDer).digest("base64");
    const waitMs = this.#pace.tryTake(`${method} ${certificate}`);
    if (waitMs > 0) throw tooManyCalls(`too many calls of ${method} with this client certificate`, waitMs);
  }

  /**
   * Counts a call of an agent as under way until the function that is returned is called. Of too many sessions the oldest
   * ends: its agent has forgotten it, or would not open another one. Of other calls the newest is refused.
   *
   * @throws IngestError `too_many_calls`
   */
  enter(agentId: string, call: AgentCall): () => void {
    const calls = this.#underWay.get(agentId) ?? [];
    const alike = calls.filter(({ isSession }) => isSession === call.isSession);
    if (!call.isSession && alike.length >= MAX_OTHERS) {
      throw tooManyCalls("too many calls of this agent are under way", 1_000, agentId);
    }
    this.#underWay.set(agentId, calls.concat(call));
    if (call.isSession && alike.length >= MAX_SESSIONS) alike[0]?.peer.reset();
    return () => this.#leave(agentId, call);
  }

  #leave(agentId: string, call: AgentCall): void {
    const others = (this.#underWay.get(agentId) ?? []).filter((other) => other !== call);
    if (others.length > 0) this.#underWay.set(agentId, others);
    else this.#underWay.delete(agentId);
  }
}

function tooManyCalls(what: string, waitMs: number, agentId?: string): IngestError {
  const message = `${what}; try again in ${Math.ceil(waitMs / 1000)} s`;
  return new IngestError("too_many_calls", message, {
    retryAfterMs: waitMs,
    ...(agentId !== undefined && { agentId }),
  });
}
