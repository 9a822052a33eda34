import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type HeartbeatRequest,
  HeartbeatRequestSchema,
  type HeartbeatResponse,
  HeartbeatResponseSchema,
} from "#gen/agent/v1/heartbeat_pb.js";
import type { IngestService } from "#gen/agent/v1/ingest_pb.js";
import { IngestError } from "../errors.js";
import type { RawHeartbeatReport } from "../heartbeat/heartbeat-report.js";
import type { Sessions } from "../heartbeat/sessions.js";
import { type Caller, requireAccessToken } from "../identity/caller.js";
import type { SigningKeyRing } from "../identity/signing-keys/signing-key-ring.js";
import { Handover } from "../lib/async/handover.js";
import { waitPatiently } from "../lib/async/wait-patiently.js";
import type { AgentWork, WorkSession } from "../work/agent-work.js";
import { peerKey, requireCaller } from "./context.js";
import { toRawHeartbeatReport } from "./messages/messages.js";
import { toPushResponse, toRawAgentMessage } from "./messages/work-messages.js";

/** What the `Heartbeat` handler needs. */
export interface HeartbeatHandlerOptions {
  sessions: Sessions;
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
 * `Heartbeat`: hands the stream over to a session, and its agent to the work that waits for it. The next message is read
 * when the one before it is stored and acknowledged, so that a writer that is behind slows the stream down through HTTP/2
 * flow control.
 */
export function createHeartbeatHandler(
  options: HeartbeatHandlerOptions,
): ServiceImpl<typeof IngestService>["heartbeat"] {
  return (requests: AsyncIterable<HeartbeatRequest>, { values, signal }: HandlerContext) => {
    const caller = requireCaller(values);
    const { address, reset, isCancelled } = values.get(peerKey);
    const incoming = new HeartbeatReader(requests, caller, options);
    const responses = new Handover<HeartbeatResponse>();
    let work: WorkSession | undefined;
    const acknowledge = async () => {
      // Not before its first heartbeat is stored: by then the session is the agent's current one.
      work ??= options.work.open(caller, (push) => responses.offer(toPushResponse(push)));
      const reported = work.report(toRawAgentMessage(incoming.last));
      // Most of a stream's life is the wait for the next one.
      incoming.last = NOTHING;
      if (reported !== undefined) await reported;
      await responses.put(ACKNOWLEDGEMENT);
    };
    const stream = { read: () => incoming.read(), acknowledge, over: signal, reset, isCancelled };
    options.sessions
      .hold(caller, address, stream)
      .finally(() => work?.close())
      .then(
        () => responses.end(),
        (error: unknown) => responses.fail(error),
      );
    return responses;
  };
}

/** Reads the messages of a stream. The first one carries the JWT, every other one the id of the same agent. */
class HeartbeatReader {
  /** The message that was read last, until it is handled. */
  last: HeartbeatRequest = NOTHING;
  readonly #iterator: AsyncIterator<HeartbeatRequest>;
  #isFirst = true;

  constructor(
    requests: AsyncIterable<HeartbeatRequest>,
    private readonly caller: Caller,
    private readonly options: Omit<HeartbeatHandlerOptions, "sessions" | "work">,
  ) {
    this.#iterator = requests[Symbol.asyncIterator]();
  }

  /** The next report; undefined when the agent has ended its side. */
  async read(): Promise<RawHeartbeatReport | undefined> {
    const { done, value } = await (this.#isFirst ? this.#first() : this.#iterator.next());
    if (done) return undefined;
    const isOwnId = value.agentId === this.caller.agentId;
    if (this.#isFirst && !(isOwnId && this.options.acceptIdWithoutJwt)) {
      await requireAccessToken(this.options.signingKeys, value.agentId, this.caller);
    } else if (!isOwnId) {
      throw new IngestError("identity_mismatch", "agent_id names another agent than the one that opened this stream");
    }
    this.#isFirst = false;
    this.last = value;
    return toRawHeartbeatReport(value);
  }

  /** Whoever opens a stream has something to say; until then nobody knows that the agent is its own. */
  #first(): Promise<IteratorResult<HeartbeatRequest>> {
    const { messageMs } = this.options;
    return new Promise((resolve, reject) => {
      const onOver = () => reject(new IngestError("deadline", `no first message came within ${messageMs / 1000} s`));
      const stopWaiting = waitPatiently(messageMs, onOver);
      this.#iterator.next().then(resolve, reject).finally(stopWaiting);
    });
  }
}
