import { z } from "zod";
import { agentStatusMessageSchema } from "./agent-status-message.js";
import { checkMessageSchema } from "./check-message.js";
import { findEventSchema } from "./event-message.js";
import type { Message } from "./message.js";
import { metricsMessageSchema } from "./metrics-message.js";

/** A message of a topic, or an event, that a later version of the service added: skip it, or store it as it is. */
export interface UnknownMessage {
  topic: "unknown";
  routingKey: string;
  body: unknown;
}

/** A body is not what its topic says. */
export class MalformedMessageError extends Error {
  override readonly name = "MalformedMessageError";
}

/**
 * Reads a message that was consumed. Keys that this version does not know are left out.
 *
 * @example
 * const message = parseMessage(delivery.fields.routingKey, delivery.content);
 * if (message.topic === "metrics.raw") console.log(message.body.agent_id, message.body.cpu);
 *
 * @throws MalformedMessageError
 */
export function parseMessage(routingKey: string, content: Uint8Array): Message | UnknownMessage {
  const body = parseJson(routingKey, content);
  switch (routingKey) {
    case "metrics.raw":
      return { topic: routingKey, body: check(routingKey, metricsMessageSchema, body) };
    case "checks.raw":
      return { topic: routingKey, body: check(routingKey, checkMessageSchema, body) };
    case "agent.status":
      return { topic: routingKey, body: check(routingKey, agentStatusMessageSchema, body) };
    case "events.raw": {
      const schema = findEventSchema((body as { type?: unknown } | null)?.type);
      if (schema !== undefined) return { topic: routingKey, body: check(routingKey, schema, body) };
    }
  }
  return { topic: "unknown", routingKey, body };
}

function parseJson(routingKey: string, content: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch (cause) {
    throw new MalformedMessageError(`the body of a message of ${routingKey} is no JSON`, { cause });
  }
}

function check<T>(routingKey: string, schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new MalformedMessageError(`a message of ${routingKey} is malformed: ${z.prettifyError(parsed.error)}`);
}
