import { Batcher, type BatchOutcome } from "../../lib/async/batcher.js";
import type { CallLabels } from "../../observe/call-labels.js";
import type { Outbox, Outgoing } from "../../outbox/outbox.js";
import { publishEvents } from "../../outbox/publish-events.js";
import { insertStatusHistory } from "../../store/agents/agents.js";
import type { Database } from "../../store/database.js";
import { lockHostsAndAgents } from "../../store/hosts/row-locks.js";
import type { SessionKey } from "../../store/sessions/agent-sessions.js";
import { type ContestPolicy, countDisplacements, type Suspicion } from "../../store/sessions/contests.js";
import { SetWriter } from "../../store/sets/set-writer.js";
import type { Transaction } from "../../store/transaction.js";
import type { HeartbeatEvents, SuspectedClone } from "../events.js";

const MAX_BATCH = 200;

/** A live session that a newer one of its agent took the place of, and who held it. */
export interface DisplacedSession extends SessionKey {
  remoteAddress: string;
  hostname: string;
  uptimeSeconds: number;
}

/**
 * Counts how often live sessions of one agent displace each other. One machine opens a new stream while its old one
 * looks open only when its connection died unheard, which its keepalive takes 40 seconds to find; a stream that the
 * service sees end is not counted. So several within seconds of each other are two machines in turns.
 */
export class CloneWatch {
  readonly #events: HeartbeatEvents;
  readonly #batcher: Batcher<Waiting, SuspectedClone | undefined>;

  constructor(options: { database: Database; outbox: Outbox; events: HeartbeatEvents; policy: ContestPolicy }) {
    const { database, outbox, events, policy } = options;
    this.#events = events;
    const writer = new SetWriter<Waiting, SuspectedClone | undefined>({
      write: (sessions) => outbox.transaction(database, (tx, outgoing) => count(tx, outgoing, sessions, policy)),
      onRetry: (retry) => events.writeRetried(retry),
    });
    this.#batcher = new Batcher({
      flush: async (sessions) => {
        const outcomes = await writer.write(sessions);
        for (const outcome of outcomes) {
          if ("done" in outcome && outcome.done !== undefined) events.cloneSuspected(outcome.done);
        }
        return outcomes;
      },
      maxItems: MAX_BATCH,
    });
  }

  /**
   * Counts one more; that it could not be counted is logged.
   *
   * @param call what the log lines of its stream have in common
   */
  report(session: DisplacedSession, call: CallLabels): void {
    const { remoteAddress, hostname, uptimeSeconds, ...key } = session;
    this.#events.sessionDisplaced();
    this.#batcher
      .add({ ...session, at: performance.now() })
      .catch((error) => this.#events.displacementNotCounted({ ...key, ...call, error }));
  }
}

type Waiting = DisplacedSession & { at: number };

async function count(
  tx: Transaction,
  outgoing: Outgoing,
  sessions: readonly Waiting[],
  policy: ContestPolicy,
): Promise<BatchOutcome<SuspectedClone | undefined>[]> {
  // They count as of when they are written: those that waited for a lock would all be of one moment.
  const since = performance.now() - policy.withinS * 1_000;
  const recent = sessions.filter(({ at }) => at > since);
  const found = await lockHostsAndAgents(tx, recent);
  // Of several of one agent in one batch the last one is told of.
  const counted = recent.filter(({ agentId }) => found.get(agentId)?.state === "locked");
  const locked = new Map(counted.map((session) => [session.agentId, session]));
  const suspicions = await countDisplacements(
    tx,
    [...locked.values()].map(({ agentId, remoteAddress, hostname, uptimeSeconds }) => ({
      agentId,
      displaced: { remoteAddress, hostname, uptimeSeconds },
      times: counted.filter((session) => session.agentId === agentId).length,
    })),
    policy,
  );
  const suspected = new Map<string, SuspectedClone>();
  for (const suspicion of suspicions) {
    const organisationId = locked.get(suspicion.agentId)?.organisationId ?? "";
    suspected.set(suspicion.agentId, { ...suspicion, organisationId });
  }
  await insertStatusHistory(
    tx,
    [...suspected.values()].map((clone) => {
      const agent = found.get(clone.agentId);
      const status = agent?.state === "locked" && agent.agentStatus === "offline" ? "offline" : "active";
      return { agentId: clone.agentId, organisationId: clone.organisationId, status, reason: describe(clone) };
    }),
  );
  publishEvents(outgoing, "agent.clone_suspected", () =>
    [...suspected.values()].flatMap(({ agentId, peers }) => {
      const session = locked.get(agentId);
      if (session === undefined) return [];
      return {
        agent_id: agentId,
        hostname: session.hostname,
        org_id: session.organisationId,
        host_id: session.hostId,
        remote_addresses: peers.flatMap(({ remoteAddress }) => remoteAddress ?? []),
      };
    }),
  );
  return sessions.map((session) => {
    if (session.at > since && found.get(session.agentId)?.state === "busy") return { busy: true };
    return { done: locked.get(session.agentId) === session ? suspected.get(session.agentId) : undefined };
  });
}

function describe({ peers, isLocked }: Suspicion): string {
  const [one, other] = peers.map(
    ({ remoteAddress, hostname, uptimeSeconds }) => `${remoteAddress} (${hostname}, up ${uptimeSeconds} s)`,
  );
  return `suspected clone: ${one} and ${other} take turns${isLocked ? "; both are locked out" : ""}`;
}
