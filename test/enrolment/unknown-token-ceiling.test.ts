import t from "tap";
import { TokenCheck } from "../../dist/enrolment/tokens/token-check.js";
import { UnknownTokenCeiling } from "../../dist/enrolment/tokens/unknown-token-ceiling.js";
import { enrol, register, registration } from "../support/agents/field-agent.js";
import { startTestService } from "../support/service.js";

t.test("unknown tokens are bounded in a second, whoever sends them; good ones are heard", (t) => {
  let time = 1_000;
  const ceiling = new UnknownTokenCeiling({ perSecond: 3, now: () => time });
  const tooMany = { code: "too_many_refusals", reason: "too_many_unknown_tokens" };
  ceiling.requireHearing("good");
  ceiling.count("good", true);
  for (const guess of ["a", "b", "c"]) {
    ceiling.requireHearing(guess);
    ceiling.count(guess, false);
    time += 100;
  }
  t.throws(() => ceiling.requireHearing("d"), tooMany);
  ceiling.requireHearing("good");
  time += 699;
  t.throws(() => ceiling.requireHearing("d"), tooMany);
  time += 1;
  ceiling.requireHearing("d");
  for (let n = 0; n < 1_000; n++) ceiling.count(`other ${n}`, true);
  for (let n = 0; n < 3; n++) ceiling.count("guess", false);
  t.throws(() => ceiling.requireHearing("good"), tooMany, "a thousand are remembered");
  ceiling.requireHearing("other 0");
  t.end();
});

t.test("past the ceiling a token is not looked for, and keys that are known are answered", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const ceiling = new UnknownTokenCeiling({ perSecond: 2, now: () => 0 });
  const check = new TokenCheck(service.store.db, ceiling);
  t.match(await check.find(token), { token: { autoApprove: true } });
  t.same(await check.find("guess 1"), { problem: "unknown" });
  t.same(await check.find("guess 2"), { problem: "unknown" });
  await t.rejects(check.find("guess 3"), { code: "too_many_refusals" });
  t.match(await check.find(token), { token: { autoApprove: true } });
  t.match(await check.findUsable(token), { autoApprove: true });
  t.equal(await check.findUsable("guess 4"), undefined, "that of a known key");
  const known = await enrol(service, token);
  t.match(await register(service, await registration(known.key, "guess 5")), { status: "active" });
});
