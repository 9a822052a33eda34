import { z } from "zod";

/** What every message of `events.raw` has. */
const envelope = {
  /** The same when the message is repeated. */
  message_id: z.string(),
  org_id: z.string(),
  /** RFC 3339, UTC, milliseconds. */
  at: z.string(),
};

const agent = {
  ...envelope,
  agent_id: z.string(),
  hostname: z.string(),
};

const registration = {
  ...agent,
  host_id: z.string(),
  /** `pending`: somebody has to approve it; `active`: its enrolment token did. */
  status: z.enum(["pending", "active"]),
  token_id: z.string(),
};

const certificate = {
  ...agent,
  /** Lower-case hex. */
  serial: z.string(),
  /** RFC 3339, UTC. */
  not_after: z.string(),
};

const token = {
  ...envelope,
  token_id: z.string(),
  label: z.string(),
};

/** Something about the work that an agent does for the platform. */
const work = {
  ...envelope,
  host_id: z.string(),
};

const shapes = {
  /** A machine that was not known became an agent. */
  "agent.registered": registration,
  /** An operator approved a pending agent. */
  "agent.approved": agent,
  /** An operator turned a pending agent away. */
  "agent.rejected": { ...agent, reason: z.string() },
  /** A host that was gone went over to a new key. */
  "agent.adopted": {
    ...registration,
    /** What the machine has in common with the host. */
    matched: z.string(),
  },
  /** The key that an agent had before proved that it is still there, and took its host back. */
  "agent.adoption_undone": agent,
  /** A machine was not enrolled, since it is, or may be, a host that exists. */
  "agent.duplicate_refused": {
    ...envelope,
    /** As the machine calls itself. */
    hostname: z.string(),
    /** What the machine was told: which host it matches, and what to do. */
    reason: z.string(),
  },
  /** An agent and its certificates were revoked. */
  "agent.revoked": { ...agent, reason: z.string() },
  /** A revocation was taken back: the agent waits for approval. */
  "agent.unrevoked": agent,
  /** An agent was deleted for good, with its host. */
  "agent.deleted": agent,
  /** Two machines seem to have the identity of one agent. */
  "agent.clone_suspected": {
    ...agent,
    host_id: z.string(),
    /** The addresses that took the stream from each other. */
    remote_addresses: z.array(z.string()),
  },
  /** A new client certificate was issued in a registration. */
  "certificate.issued": certificate,
  /** A new client certificate was issued to an agent that renewed the one it had. */
  "certificate.renewed": certificate,
  /** An operator made an enrolment token. */
  "token.created": token,
  /** An operator took an enrolment token out of use. */
  "token.revoked": token,
  /** A query was answered. */
  "query.completed": {
    ...work,
    query_id: z.string(),
    /** `complete` or `error`. */
    status: z.string(),
    error: z.string().nullable(),
  },
  /** A task began, and is sent to its agent; one that could not be sent begins again later. */
  "task.started": { ...work, task_id: z.string(), run_id: z.string(), task_type: z.string() },
  /** A task came to its end. */
  "task.finished": {
    ...work,
    task_id: z.string(),
    run_id: z.string(),
    /** `success`, `failed` or `cancelled`. */
    status: z.string(),
  },
  /** A host's software was scanned, or the scan failed. */
  "inventory.finished": {
    ...work,
    task_id: z.string(),
    /** `success` or `failed`. */
    status: z.string(),
    /** How many packages the host has; null when the scan failed. */
    packages: z.number().nullable(),
    error: z.string().nullable(),
  },
  /** What an agent brought back was dropped: it is another host's, deleted or disabled, or came too late. */
  "work.refused": {
    ...work,
    /** `check`, `query` or `task`. */
    kind: z.string(),
    /** The first ones, as the agent named them. */
    ids: z.array(z.string()),
    count: z.number(),
  },
};

type Shapes = typeof shapes;

/** What is told on `events.raw`: the value of `type`. */
export type EventType = keyof Shapes;

/** The body of a message of the topic `events.raw`, by its type. */
export type EventMessage<Type extends EventType = EventType> = {
  [T in Type]: { type: T } & z.infer<z.ZodObject<Shapes[T]>>;
}[Type];

const schemas: ReadonlyMap<unknown, z.ZodType<EventMessage>> = new Map(
  Object.entries(shapes).map(([type, shape]) => [
    type,
    z.object({ type: z.literal(type), ...shape }) as unknown as z.ZodType<EventMessage>,
  ]),
);

/** The schema of an event, if this version knows its type. */
export function findEventSchema(type: unknown): z.ZodType<EventMessage> | undefined {
  return schemas.get(type);
}
