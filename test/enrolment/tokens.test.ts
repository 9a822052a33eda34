import { createHash } from "node:crypto";
import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { createEnrolmentToken } from "../../dist/enrolment/tokens/enrolment-token.js";
import { createTestKey, register, registerAll, registration } from "../support/agents/field-agent.js";
import { createTestLog } from "../support/log.js";
import { startTestService } from "../support/service.js";
import { shareTestService, UNLIMITED } from "../support/shared-service.js";

const sharedService = shareTestService(t);

t.test("200 registrations at once with a token of 50 uses make exactly 50 agents", async (t) => {
  const service = await sharedService();
  const second = await startTestService(t, { of: service, env: UNLIMITED });
  const { query } = service.database;
  const token = await service.createToken({ maxUses: 50, tags: [{ key: "env", value: "prod" }] });
  const halves = [service, second].map(async (instance) => {
    const requests = Array.from({ length: 100 }, () => registration(createTestKey(), token));
    return registerAll(instance, await Promise.all(requests));
  });
  const settled = (await Promise.all(halves)).flat();
  t.equal(settled.filter(({ status }) => status === "fulfilled").length, 50);
  // A machine that is too busy may keep some waiting for a connection to the database for too long.
  const others = settled.flatMap((result) => (result.status === "rejected" ? [result.reason.code] : []));
  t.same(
    others.filter((code) => code !== Code.UNAUTHENTICATED && code !== Code.UNAVAILABLE),
    [],
  );
  t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 50 }]);
  for (const table of ["agents", "hosts", "ingest.agent_registrations", "resource_tags"]) {
    t.match(await query(`select count(*)::int from ${table}`), [{ count: 50 }], table);
  }
  t.match(await query("select usage_count from tags"), [{ usage_count: 50 }]);
});

t.test("a registration that fails half-way leaves nothing and gives its use back", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const token = await service.createToken({ maxUses: 1, tags: [{ key: "env", value: "prod" }] });
  await query("alter table resource_tags add constraint broken check (tag_id = '') not valid");
  const request = await registration(createTestKey(), token);
  await t.rejects(register(service, request), { code: Code.INTERNAL });
  for (const table of ["agents", "hosts", "agent_status_history", "tags"]) {
    t.same(await query(`select from ${table}`), [], table);
  }
  t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 0 }]);
  await query("alter table resource_tags drop constraint broken");
  t.match(await register(service, request), { status: "active" });
});

t.test("a token may have more tags than a statement has parameters", async (t) => {
  const service = await sharedService();
  const tags = Array.from({ length: 17_000 }, (_, index) => ({ key: `tag-${index}`, value: "x" }));
  const token = await service.createToken({ tags });
  t.match(await register(service, await registration(createTestKey(), token)), { status: "active" });
  t.match(await service.database.query("select sum(usage_count)::int from tags"), [{ sum: tags.length }]);
});

t.test("tokens have at least 128 random bits, and are kept as a hash alone", async (t) => {
  t.match(createEnrolmentToken(), /^ctops_[A-Za-z0-9_-]{43}$/);
  const service = await sharedService();
  const token = await service.createToken();
  const [row] = await service.database.query("select to_jsonb(t) as row from agent_enrolment_tokens t");
  t.notOk(JSON.stringify(row).includes(token));
  t.equal(row?.row.token_hash, createHash("sha256").update(token).digest("hex"));
});

t.test("why a token was refused is for the operator alone, and tokens are never logged", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { logger });
  const { query } = service.database;
  const token = await service.createToken();
  const states = {
    token_expired: "expires_at = now()",
    token_exhausted: "expires_at = null, max_uses = 0",
    token_revoked: "deleted_at = now()",
  };
  const prefix = createHash("sha256").update(token).digest("hex").slice(0, 8);
  const texts = new Set<string>();
  const request = await registration(createTestKey(), token);
  for (const [reason, assignment] of Object.entries(states)) {
    await query(`update agent_enrolment_tokens set ${assignment}`);
    await t.rejects(register(service, request).catch((error) => Promise.reject(texts.add(error.details) && error)));
    t.ok(
      lines.some((line) => line.reason === reason && line.tokenHashPrefix === prefix),
      reason,
    );
  }
  const unknown = "no token of ours";
  await t.rejects(
    register(service, { ...request, orgToken: unknown }).catch((error) =>
      Promise.reject(texts.add(error.details) && error),
    ),
  );
  t.ok(lines.some((line) => line.reason === "token_unknown"));
  t.equal(texts.size, 1, "one text for all");
  const logged = JSON.stringify(lines);
  t.notOk(logged.includes(token) || logged.includes(unknown));
});

t.test("an address that is refused too often is not heard, but known keys and other attempts are", async (t) => {
  const service = await startTestService(t, { env: { INGEST_REGISTER_REFUSALS_PER_MINUTE: "3" } });
  const { query } = service.database;
  const token = await service.createToken();
  const known = await registration(createTestKey(), token);
  t.match(await register(service, known), { status: "active" });
  const others = Array.from({ length: 20 }, () => registration(createTestKey(), token));
  const enrolled = await registerAll(service, await Promise.all(others));
  t.ok(enrolled.every(({ status }) => status === "fulfilled"));

  const attempts = Array.from({ length: 20 }, (_, i) => registration(createTestKey(), `guess ${i}`));
  const guesses = await registerAll(service, await Promise.all(attempts));
  const codes = guesses.map((guess) => (guess.status === "rejected" ? guess.reason.code : undefined));
  t.equal(codes.filter((code) => code === Code.UNAUTHENTICATED).length, 3);
  t.equal(codes.filter((code) => code === Code.RESOURCE_EXHAUSTED).length, 17);

  await t.rejects(register(service, await registration(createTestKey(), token)), {
    code: Code.RESOURCE_EXHAUSTED,
    details: /try again in \d+ s/,
  });
  t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 21 }]);
  t.match(await register(service, { ...known, orgToken: "" }), { status: "active" }, "a known key is never limited");
});
