import t from "tap";
import { RefusalLimiter } from "../../dist/enrolment/tokens/refusal-limiter.js";

const refuse = async () => {
  throw new Error("refused");
};
const fail = async () => {
  throw new Error("failed");
};
const isRefusal = (error: unknown) => error instanceof Error && error.message === "refused";

function createLimiter(perMinute: number) {
  let time = 1_000;
  const limiter = new RefusalLimiter({ perMinute, now: () => time });
  return {
    attempt: <T>(address: string, work: () => Promise<T>, signal = new AbortController().signal) =>
      limiter.attempt({ address, signal, work, isRefusal }),
    pass: (ms: number) => {
      time += ms;
    },
  };
}

t.test("refusals are bounded in a minute from the first one", async (t) => {
  const { attempt, pass } = createLimiter(3);
  const limited = { code: "too_many_refusals" };
  for (let i = 0; i < 3; i++) {
    await t.rejects(attempt("192.0.2.1", refuse), { message: "refused" });
    pass(10_000);
  }
  await t.rejects(
    attempt("192.0.2.1", async () => "never run"),
    { ...limited, message: /try again in 30 s$/ },
  );
  t.equal(await attempt("192.0.2.2", async () => "another address"), "another address");
  pass(29_999);
  await t.rejects(attempt("192.0.2.1", refuse), limited);
  pass(1);
  await t.rejects(attempt("192.0.2.1", refuse), { message: "refused" });
});

t.test("what succeeds or fails otherwise never counts", async (t) => {
  const { attempt } = createLimiter(2);
  await t.rejects(attempt("192.0.2.1", refuse), { message: "refused" });
  for (let i = 0; i < 100; i++) {
    t.equal(await attempt("192.0.2.1", async () => i), i);
    await t.rejects(attempt("192.0.2.1", fail), { message: "failed" });
  }
});

t.test("the bound is exact for attempts at the same moment, and none that succeeds is turned away", async (t) => {
  const { attempt } = createLimiter(5);
  const later = () => new Promise((resolve) => setImmediate(resolve));
  const good = await Promise.all(Array.from({ length: 200 }, () => attempt("192.0.2.1", later)));
  t.equal(good.length, 200);
  const bad = await Promise.allSettled(
    Array.from({ length: 200 }, () => attempt("192.0.2.1", () => later().then(refuse))),
  );
  const reasons = bad.map((result) => (result.status === "rejected" ? result.reason.message : "none"));
  t.equal(reasons.filter((reason) => reason === "refused").length, 5);
  t.equal(reasons.filter((reason) => /too many/.test(reason)).length, 195);
});

t.test("those that wait all go on, however few may be under way and whenever the minute ends", async (t) => {
  const alone = createLimiter(1);
  t.same(await Promise.all([1, 2, 3].map((n) => alone.attempt("192.0.2.1", async () => n))), [1, 2, 3]);

  const { attempt, pass } = createLimiter(2);
  await t.rejects(attempt("192.0.2.1", refuse), { message: "refused" });
  let resolve = (_: number) => {};
  const promise = new Promise<number>((settle) => {
    resolve = settle;
  });
  const first = attempt("192.0.2.1", () => promise);
  const others = [1, 2, 3].map((n) => attempt("192.0.2.1", async () => n));
  pass(60_000);
  resolve(0);
  t.same(await Promise.all([first, ...others]), [0, 1, 2, 3]);
});

t.test("an IPv6 network counts as one address", async (t) => {
  const { attempt } = createLimiter(1);
  await t.rejects(attempt("2001:db8:0:1::1", refuse), { message: "refused" });
  await t.rejects(attempt("2001:db8::1:ffff:ffff:ffff:ffff", refuse), { code: "too_many_refusals" });
  await t.rejects(attempt("2001:db8:0:2::1", refuse), { message: "refused" });
});

t.test("an IPv6 site is bounded too, ten times as high, however many networks it has", async (t) => {
  const { attempt, pass } = createLimiter(2);
  for (let i = 0; i < 20; i++) {
    await t.rejects(attempt(`2001:db8:1:${i.toString(16)}::1`, refuse), { message: "refused" });
  }
  await t.rejects(attempt("2001:db8:1:ffff::1", refuse), { code: "too_many_refusals", message: /from this network/ });
  t.equal(await attempt("2001:db8:2::1", async () => "another site"), "another site");
  pass(60_000);
  t.equal(await attempt("2001:db8:1:ffff::1", async () => "later"), "later");
});

t.test("who goes away while they wait waits no longer, and takes no place", async (t) => {
  const { attempt } = createLimiter(1);
  let finish = () => {};
  const first = attempt(
    "192.0.2.1",
    () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  );
  const gone = new AbortController();
  let ran = 0;
  const work = async () => ++ran;
  const givenUp = [1, 2, 3].map(() => attempt("192.0.2.1", work, gone.signal));
  const last = attempt("192.0.2.1", work);
  gone.abort(new Error("the caller went away"));
  for (const each of givenUp) await t.rejects(each, { message: "the caller went away" });
  await t.rejects(attempt("192.0.2.1", work, gone.signal), { message: "the caller went away" }, "nor do they start");
  finish();
  await first;
  t.equal(await last, 1);
});

t.test("one that goes away as its turn comes gives it to the next", async (t) => {
  const { attempt } = createLimiter(1);
  let finish = () => {};
  const first = attempt(
    "192.0.2.1",
    () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  );
  await new Promise((resolve) => setImmediate(resolve));
  const gone = new AbortController();
  const second = attempt("192.0.2.1", async () => "second", gone.signal);
  const third = attempt("192.0.2.1", async () => "third");
  void first.then(() => gone.abort(new Error("gone")));
  finish();
  await t.rejects(second, { message: "gone" });
  t.equal(await third, "third");
});

t.test("no more than a thousand of one address wait, and those of others go on", async (t) => {
  const { attempt } = createLimiter(1);
  let finish = () => {};
  const first = attempt(
    "192.0.2.1",
    () =>
      new Promise<number>((resolve) => {
        finish = () => resolve(0);
      }),
  );
  const waiting = Array.from({ length: 1_000 }, (_, n) => attempt("192.0.2.1", async () => n + 1));
  const turnedAway = { code: "too_many_refusals", reason: "too_many_waiting" };
  await t.rejects(
    attempt("192.0.2.1", async () => 0),
    turnedAway,
  );
  t.equal(await attempt("192.0.2.2", async () => "another address"), "another address");
  finish();
  t.same(
    await Promise.all([first, ...waiting]),
    Array.from({ length: 1_001 }, (_, n) => n),
  );
});

t.test("0 is no bound; many addresses are forgotten, the oldest first", async (t) => {
  const unbounded = createLimiter(0);
  for (let i = 0; i < 10; i++) await t.rejects(unbounded.attempt("192.0.2.1", refuse), { message: "refused" });
  const { attempt } = createLimiter(1);
  for (let i = 0; i <= 10_000; i++) await attempt(`10.0.${i >> 8}.${i & 255}`, refuse).catch(() => {});
  await t.rejects(attempt("10.0.0.0", refuse), { message: "refused" }, "forgotten");
  await t.rejects(attempt("10.0.39.16", refuse), { code: "too_many_refusals" }, "still known");
});
