import t from "tap";
import { enrol, heartbeat, openLiveStream } from "../support/agents/field-agent.js";
import { connectTo, untilLockedOut } from "../support/database/database.js";
import { startTestService } from "../support/service.js";

t.test("registrations that wait for each other do not keep heartbeats waiting", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const agent = await enrol(service, token);
  const stream = await openLiveStream(service, agent);

  const holder = await connectTo(t, service.database.url);
  await holder.query("begin");
  await holder.query("select from agent_enrolment_tokens for update");
  let settled = 0;
  const registrations = Array.from({ length: 12 }, () =>
    enrol(service, token).finally(() => {
      settled += 1;
    }),
  );
  await untilLockedOut(service.database, 10);
  stream.send(heartbeat(agent.agentId));
  t.match(await stream.next(), { ok: true });
  t.equal(settled, 0, "acknowledged while every one of them still waits");
  await holder.query("commit");
  t.ok((await Promise.all(registrations)).every(({ jwt }) => jwt !== ""));
  stream.end();
  await stream.ended;
});
