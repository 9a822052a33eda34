/** Loaded with `--import` before a service, this acknowledges heartbeats without storing them. */
import { HeartbeatWriter } from "../../dist/heartbeat/heartbeat-writer.js";

HeartbeatWriter.prototype.write = async ({ inventory }) => ({
  cameBack: false,
  // As after a batch that stored it: an unchanged one need not be looked at.
  inventory: inventory === null ? undefined : { isStored: true, ageMs: 0 },
});
