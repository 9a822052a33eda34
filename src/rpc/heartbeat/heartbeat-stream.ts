import { create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import {
  type HeartbeatRequest,
  HeartbeatRequestSchema,
  type HeartbeatResponse,
  HeartbeatResponseSchema,
} from "#gen/agent/v1/heartbeat_pb.js";
import { IngestError } from "../../errors.js";
import type { RawHeartbeatReport } from "../../heartbeat/heartbeat-report.js";
import type { SessionStream } from "../../heartbeat/session-stream.js";
import { type Caller, requireAccessToken } from "../../identity/caller.js";
import type { SigningKeyRing } from "../../identity/signing-keys/signing-key-ring.js";
import { Handover } from "../../lib/async/handover.js";
import { waitPatiently } from "../../lib/async/wait-patiently.js";
import type { AgentWork, WorkSession } from "../../work/agent-work.js";
import { type CallEnd, callEndOf } from "../call-end.js";
import { type Peer, peerKey } from "../context.js";
import { toRawHeartbeatReport } from "../messages/messages.js";
import { toPushResponse, toRawAgentMessage } from "../messages/work-messages.js";

/** What a {@link HeartbeatStream} needs. */
export interface HeartbeatStreamOptions {
  signingKeys: SigningKeyRing;
  work: AgentWork;
  /**
   * Whether the first message may name the agent instead of carrying its JWT, as agents before 0.30.2 do: the client
   * certificate, which is the stronger proof, has to name the same agent.
   */
  acceptIdWithoutJwt: boolean;
  /** How long the first message may take to arrive, in milliseconds. */
  messageMs: number;
}

const NOTHING = create(HeartbeatRequestSchema);
/** The same for all: it says nothing else. Frozen, so that it is encoded once. */
const ACKNOWLEDGEMENT = Object.freeze(create(HeartbeatResponseSchema, { ok: true }));

/**
 * The messages of an agent as reports, and what goes back to it. The first message carries the JWT, every other one the id
 * of the same agent. The next one is read when the one before it is stored and acknowledged, so that a writer that is behind
 * slows the stream down through HTTP/2 flow control.
 */
export class HeartbeatStream implements SessionStream {
  readonly responses = new Handover<HeartbeatResponse>();
  readonly #requests: AsyncIterator<HeartbeatRequest>;
  readonly #peer: Peer;
  readonly #callEnd: CallEnd;
  /** Until it is read. */
  #isFirst = true;
  /** The message that was read last, until it is handled. */
  #last: HeartbeatRequest = NOTHING;
  #work: WorkSession | undefined;

  constructor(
    requests: AsyncIterable<HeartbeatRequest>,
    private readonly caller: Caller,
    context: HandlerContext,
    private readonly options: HeartbeatStreamOptions,
  ) {
    this.#requests = requests[Symbol.asyncIterator]();
    this.#peer = context.values.get(peerKey);
    this.#callEnd = callEndOf(context.values, context);
  }

  read(): Promise<RawHeartbeatReport | undefined> {
    return this.#isFirst ? this.#readFirst() : this.#requests.next().then(this.#take);
  }

  async acknowledge(): Promise<void> {
    // Not before its first heartbeat is stored: by then the session is the agent's current one.
    this.#work ??= this.options.work.open(this.caller, (push) => this.responses.offer(toPushResponse(push)));
    const reported = this.#work.report(toRawAgentMessage(this.#last));
    // Most of a stream's life is the wait for the next one.
    this.#last = NOTHING;
    if (reported !== undefined) await reported;
    await this.responses.put(ACKNOWLEDGEMENT);
  }

  end(): void {
    this.#work?.close();
    this.responses.end();
  }

  fail(error: unknown): void {
    this.#work?.close();
    this.responses.fail(error);
  }

  whenOver(listener: (reason: unknown) => void): void {
    this.#callEnd.whenOver(listener);
  }

  isCancelled(): boolean {
    return this.#peer.isCancelled();
  }

  reset(): void {
    this.#peer.reset();
  }

  /** Whoever opens a stream has something to say; until then nobody knows that the agent is its own. */
  async #readFirst(): Promise<RawHeartbeatReport | undefined> {
    const { messageMs, acceptIdWithoutJwt, signingKeys } = this.options;
    const { done, value } = await new Promise<IteratorResult<HeartbeatRequest>>((resolve, reject) => {
      const onOver = () => reject(new IngestError("deadline", `no first message came within ${messageMs / 1000} s`));
      const stopWaiting = waitPatiently(messageMs, onOver);
      this.#requests.next().then(resolve, reject).finally(stopWaiting);
    });
    if (done) return undefined;
    if (!(acceptIdWithoutJwt && this.#isOfCaller(value))) {
      await requireAccessToken(signingKeys, value.agentId, this.caller);
    }
    this.#isFirst = false;
    return this.#report(value);
  }

  readonly #take = ({ done, value }: IteratorResult<HeartbeatRequest>): RawHeartbeatReport | undefined => {
    if (done) return undefined;
    if (!this.#isOfCaller(value)) {
      throw new IngestError("identity_mismatch", "agent_id names another agent than the one that opened this stream");
    }
    return this.#report(value);
  };

  #isOfCaller({ agentId }: HeartbeatRequest): boolean {
    return agentId === this.caller.agentId;
  }

  #report(message: HeartbeatRequest): RawHeartbeatReport {
    this.#last = message;
    return toRawHeartbeatReport(message);
  }
}
