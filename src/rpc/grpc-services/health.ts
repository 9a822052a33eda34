import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { type Health, HealthCheckResponse_ServingStatus as Status } from "#gen/grpc/health/v1/health_pb.js";
import type { StreamSlots } from "./stream-slots.js";

/** What {@link createHealth} needs. */
export interface HealthOptions {
  /** Why nobody should be sent here at the moment, as `/readyz` says it; undefined when anybody may be. */
  findReadinessProblem: () => Promise<string | undefined>;
  /** The services there are, by their full names. */
  serviceNames: readonly string[];
  slots: StreamSlots;
  /** Aborted when the service is told to stop. */
  ending: AbortSignal;
  /** How often those who watch are looked for, in milliseconds. */
  lookMs?: number | undefined;
}

const LOOK_MS = 2_000;
/** Of what a caller sent, in an answer. */
const MAX_NAMED_LENGTH = 200;

/** `grpc.health.v1`: tells probes what `/readyz` tells, of the server as a whole (no name) as of each service. */
export function createHealth(options: HealthOptions): ServiceImpl<typeof Health> {
  const { findReadinessProblem, serviceNames, slots, ending, lookMs = LOOK_MS } = options;
  const isKnown = (name: string) => name === "" || serviceNames.includes(name);
  const statusOf = async (name: string) => {
    if (!isKnown(name)) return Status.SERVICE_UNKNOWN;
    return (await findReadinessProblem()) === undefined ? Status.SERVING : Status.NOT_SERVING;
  };
  return {
    check: async ({ service }) => {
      if (isKnown(service)) return { status: await statusOf(service) };
      const named = service.slice(0, MAX_NAMED_LENGTH);
      throw new ConnectError(`there is no service ${named}; known are ${serviceNames.join(", ")}`, Code.NotFound);
    },
    watch: async function* ({ service }, { signal, values }) {
      const leave = slots.enter(values);
      try {
        const over = AbortSignal.any([signal, ending]);
        for (let told: Status | undefined; !over.aborted; ) {
          const status = await statusOf(service);
          if (status !== told) yield { status };
          told = status;
          await delay(lookMs, undefined, { signal: over }).catch(() => {});
        }
        if (ending.aborted) yield { status: Status.NOT_SERVING };
      } finally {
        leave();
      }
    },
  };
}
