import { Counter, Registry } from "prom-client";

/** Makes the counter of connections that were not let in, or not kept. */
export function createTurnedAwayCounter(registry: Registry): Counter<"port" | "reason"> {
  return new Counter({
    name: "ct_ops_ingest_connections_turned_away_total",
    help: "Connections that were not let in, or not kept.",
    labelNames: ["port", "reason"],
    registers: [registry],
  });
}

/** What a port counts by itself that belongs to no instance. */
export class DoorMetrics {
  readonly #registry = new Registry();
  readonly turnedAway = createTurnedAwayCounter(this.#registry);

  /** All of it as it stands now. */
  snapshot(): Promise<object[]> {
    return this.#registry.getMetricsAsJSON();
  }
}
