import { setImmediate } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { HeartbeatResponseSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { AgentWork } from "../../dist/agent/agent-work.js";
import type { WorkHandlers } from "../../dist/agent/index.js";

/** Handlers that note what they were called for. */
function open(t: Test, handlers: WorkHandlers = {}) {
  const calls: string[] = [];
  const work = new AgentWork({
    handlers: {
      check: ({ id }) => {
        calls.push(id);
        return { status: "pass" };
      },
      query: ({ id }) => {
        calls.push(id);
        return {};
      },
      task: ({ id }) => {
        calls.push(id);
        return { exitCode: 0 };
      },
      ...handlers,
    },
    upload: async () => 0,
    onResult: () => {},
  });
  t.teardown(() => work.stop());
  const take = async (message: MessageInitShape<typeof HeartbeatResponseSchema>) => {
    work.take(create(HeartbeatResponseSchema, message));
    for (let turn = 0; turn < 5; turn++) await setImmediate();
  };
  return { work, calls, take };
}

const check = (checkId: string, configJson = "{}", intervalSeconds = 60) => ({ checkId, configJson, intervalSeconds });

t.test("a list replaces the checks that run, an empty one changes nothing", async (t) => {
  const { calls, take, work } = open(t);
  await take({ checks: [check("a"), check("b")] });
  await take({ checks: [] });
  await take({ checks: [check("a"), check("b", '{"port":1}')] });
  t.same(calls, ["a", "b", "b"], "what is the same goes on");
  await take({ checks: [check("placeholder", "{}", 2_147_483_647)] });
  await new Promise((resolve) => setTimeout(resolve, 10));
  t.same(calls, ["a", "b", "b", "placeholder"], "no timer runs over");
  t.equal(work.collect().checkResults.length, 4);
});

t.test("a result is given out once", async (t) => {
  const { work, take } = open(t);
  await take({ checks: [check("a")] });
  t.notOk(work.isAwaited, "results of checks wait");
  await take({ pendingQueries: [{ queryId: "q" }], pendingTask: { taskId: "t", configJson: "{}" } });
  t.ok(work.isAwaited);
  const { checkResults, queryResults, taskResults } = work.collect();
  t.match([checkResults, queryResults, taskResults], [[{ checkId: "a" }], [{ queryId: "q" }], [{ taskId: "t" }]]);
  t.ok(Object.values(work.collect()).every(({ length }) => length === 0));
});

t.test("ids are known as long as the stream is open", async (t) => {
  const { work, calls, take } = open(t);
  const message = { pendingQueries: [{ queryId: "q" }], pendingTask: { taskId: "t", configJson: "{}" } };
  await take(message);
  await take(message);
  t.same([...calls].sort(), ["q", "t"]);
  work.forgetStream();
  await take(message);
  t.same([...calls].sort(), ["q", "q", "t", "t"]);
});

t.test("a task of an earlier stream goes on, and cannot be stopped", async (t) => {
  let finish = () => {};
  const signals: AbortSignal[] = [];
  const { work, take } = open(t, {
    task: (_, { signal }) => {
      signals.push(signal);
      return new Promise((resolve) => {
        finish = () => resolve({ exitCode: 0 });
      });
    },
  });
  await take({ pendingTask: { taskId: "t", configJson: "{}" } });
  work.forgetStream();
  await take({ cancelTaskIds: ["t", "nobody's"] });
  t.notOk(signals[0]?.aborted);
  finish();
  await take({});
  t.match(work.collect().taskResults, [{ taskId: "t", exitCode: 0 }], "on the next stream");
  await take({ pendingTask: { taskId: "u", configJson: "{}" } });
  work.stop();
  t.ok(signals[1]?.aborted, "until the agent is stopped");
  finish();
});
