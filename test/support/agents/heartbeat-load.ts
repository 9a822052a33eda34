import { setTimeout as delay } from "node:timers/promises";
import { heartbeat, openLiveStream, type TestAddress, type TestIdentity } from "./field-agent.js";

const PACE_MS = 5;

/** Agents that send a heartbeat as soon as the one before is acknowledged. */
export interface HeartbeatLoad {
  /** Heartbeats acknowledged so far. */
  readonly acknowledged: number;
  /** The longest wait for an acknowledgement, in milliseconds. */
  readonly slowestMs: number;
  /** Whether a stream broke. */
  readonly isBroken: boolean;
  /** Ends the streams in order. */
  stop(): Promise<void>;
}

/** Starts agents that send until they are stopped, or until their service is gone. */
export async function startHeartbeats(
  service: TestAddress,
  identities: readonly TestIdentity[],
): Promise<HeartbeatLoad> {
  const load = { acknowledged: 0, slowestMs: 0, isBroken: false };
  let isStopping = false;
  const streams = await Promise.all(identities.map((identity) => openLiveStream(service, identity)));
  const loops = streams.map(async (stream, index) => {
    try {
      while (!isStopping) {
        const sentAt = performance.now();
        stream.send(heartbeat(identities[index]?.agentId ?? ""));
        await stream.next();
        load.acknowledged += 1;
        load.slowestMs = Math.max(load.slowestMs, performance.now() - sentAt);
        await delay(PACE_MS);
      }
    } catch {
      load.isBroken = true;
    }
    stream.end();
    await stream.ended;
  });
  return Object.assign(load, {
    stop: async () => {
      isStopping = true;
      await Promise.all(loops);
    },
  });
}
