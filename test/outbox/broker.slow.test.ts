import t from "tap";
import { onBroker, openFaultScene } from "../support/broker/fault-scene.js";
import { startTestBroker } from "../support/broker/test-broker.js";

const { broker, skip } = await startTestBroker(t);

t.test("whatever happens to the broker, what is stored is consumed", { skip }, async (t) => {
  const { proxy, exchange, fault, loads } = await openFaultScene(t, broker);
  await fault(
    "the connection is cut between publish and confirm",
    async () => proxy.silence("to client"),
    async () => {
      proxy.cut();
      proxy.resume();
    },
  );
  await fault(
    "the broker is stopped, and started",
    () => broker.stop(),
    () => broker.start(),
  );
  await fault(
    "the broker closes the channel, since the exchange is deleted under it",
    () => onBroker(broker, (channel) => channel.deleteExchange(exchange)),
    async () => {},
  );
  await fault(
    "the broker is short of memory",
    () => broker.control("set_vm_memory_high_watermark", "0"),
    () => broker.control("set_vm_memory_high_watermark", "0.6"),
  );
  for (const load of loads) await load.stop();
});
