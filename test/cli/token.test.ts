import t from "tap";
import { createTestKey, register, registration } from "../support/agents/field-agent.js";
import { runCommand } from "../support/commands/cli.js";
import { createTestDatabase } from "../support/database/database.js";
import { startTestService } from "../support/service.js";

t.test("token list tells everything but the tokens, those of the web app included", async (t) => {
  const service = await startTestService(t);
  const cli = (...args: string[]) => runCommand(service.env, args);
  const made = JSON.parse((await cli("token", "create", "--label", "mine", "--tag", "role=web", "--json")).output);
  await service.database.query(`
    insert into agent_enrolment_tokens
      (id, organisation_id, label, token, token_hash, created_by_id, max_uses, usage_count, expires_at, deleted_at)
    select v.id, o.id, v.id, 'plain-secret-' || v.id, v.hash, 'system', v.max_uses, v.used, v.expires_at, v.deleted_at
    from organisations o, (values
      ('t-exhausted', 'h1', 2, 2, null::timestamptz, null::timestamptz),
      ('t-expired', 'h2', null, 0, now() - interval '1 h', null),
      ('t-revoked', 'h3', null, 0, null, now()),
      ('t-unhashed', null, null, 0, null, null)) as v(id, hash, max_uses, used, expires_at, deleted_at)`);

  const { output } = await cli("token", "list", "--json");
  const listed = JSON.parse(output) as { id: string }[];
  t.match(
    listed.find(({ id }) => id === made.id),
    {
      organisation: "test",
      label: "mine",
      status: "usable",
      autoApprove: false,
      maxUses: null,
      usageCount: 0,
      expiresAt: null,
      tags: [{ key: "role", value: "web" }],
    },
  );
  t.same(
    Object.fromEntries(listed.slice(-3).map(({ id, status }: { id: string; status?: string }) => [id, status])),
    { "t-exhausted": "exhausted", "t-expired": "expired", "t-unhashed": "usable" },
    "a revoked one is gone",
  );
  const table = (await cli("token", "list")).output;
  t.match(table, /^ID +LABEL +ORG +STATUS +APPROVES +USES +EXPIRES +TAGS\n/);
  t.match(table, /t-exhausted .* 2\/2 +never/);
  for (const text of [output, table]) t.notMatch(text, /plain-secret|sha256:|ctops_|"h[123]"/);
});

t.test("token revoke takes a token out of use", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const [row] = await service.database.query("select id from agent_enrolment_tokens");
  const revoke = () => runCommand(service.env, ["token", "revoke", row?.id, "nothing"]);
  t.match(await revoke(), {
    exitCode: 1,
    output: `revoked ${row?.id} (test)`,
    errors: "error: no enrolment token has the id nothing, or it is revoked already",
  });
  t.match(await revoke(), { exitCode: 1, output: "", errors: new RegExp(row?.id) });
  await t.rejects(register(service, await registration(createTestKey(), token)), { message: /cannot be used/ });
});

t.test("org create and org list", async (t) => {
  const { url } = await createTestDatabase(t);
  const cli = (...args: string[]) => runCommand({ DATABASE_URL: url }, args);
  const made = JSON.parse((await cli("org", "create", "Café & Söhne", "--json")).output);
  t.match(made, { id: /^[a-z][a-z0-9]{23}$/, slug: "cafe-sohne", name: "Café & Söhne" });
  t.match((await cli("org", "create", "Other", "--slug", "other-1")).output, /^made [a-z0-9]{24} \(other-1\)$/);
  t.match(await cli("org", "create", "Cafe Sohne"), { exitCode: 1, errors: /slug cafe-sohne: choose another/ });
  t.match(await cli("org", "create", "x", "--slug", "No Slug"), { exitCode: 2 });
  t.match(await cli("org", "create", "日本"), { exitCode: 1, errors: /--slug/ });
  const listed = JSON.parse((await cli("org", "list", "--json")).output) as { slug: string }[];
  t.same(
    listed.map(({ slug }) => slug),
    ["cafe-sohne", "other-1"],
  );
  t.match((await cli("org", "list")).output, /^ID +SLUG +NAME +CREATED\n/);
});
