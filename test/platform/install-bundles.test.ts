import { createHash } from "node:crypto";
import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { createTestKey, register, registration } from "../support/agents/field-agent.js";
import { runCommand } from "../support/commands/cli.js";
import { createPlatformDatabase, PLATFORM_ORGANISATION } from "../support/database/platform-database.js";
import { startTestService } from "../support/service.js";

t.test("the token of an install bundle, which the web app stores as it is", async (t) => {
  const service = await startTestService(t, { on: await createPlatformDatabase(t) });
  const { query } = service.database;
  const bundle = async (id: string, token: string, more = "null::timestamptz") =>
    query(
      `insert into agent_enrolment_tokens
         (id, organisation_id, label, token, created_by_id, auto_approve, max_uses, expires_at, metadata)
       select $1, $2, $1, $3, u.id, true, 1, ${more}, '{"source": "install-bundle"}' from "user" u limit 1`,
      [id, PLATFORM_ORGANISATION, token],
    );
  const hashOf = (token: string) => createHash("sha256").update(token).digest("hex");
  const rows = () =>
    query("select id, usage_count, token_hash from agent_enrolment_tokens where label like 'b-%' order by id");
  await bundle("b-1", "bundle-token-ä-0000000001");
  await bundle("b-2", "bundle-token-expired-0002", "now() - interval '1 s'");
  await bundle("b-3", `sha256:${hashOf("never-a-token")}`);

  const listed = JSON.parse((await runCommand(service.env, ["token", "list", "--json"])).output) as { id: string }[];
  t.match(
    listed.filter(({ id }) => id.startsWith("b-")),
    [{ status: "usable" }, { status: "expired" }, { status: "usable" }],
  );

  const key = createTestKey();
  const request = await registration(key, "bundle-token-ä-0000000001");
  t.match(await register(service, request), { status: "active" });
  t.match(await rows(), [
    { id: "b-1", usage_count: 1, token_hash: hashOf("bundle-token-ä-0000000001") },
    { id: "b-2", usage_count: 0, token_hash: null },
    { id: "b-3", usage_count: 0, token_hash: null },
  ]);
  t.match(await register(service, request), { status: "active" }, "a known key");
  for (const token of ["bundle-token-ä-0000000001", "bundle-token-expired-0002", "never-a-token"]) {
    const another = await registration(createTestKey(), token, { agentInfo: { hostname: "another" } });
    await t.rejects(register(service, another), { code: Code.UNAUTHENTICATED }, token);
  }
  const hostile = await registration(createTestKey(), "no\0token", { agentInfo: { hostname: "hostile" } });
  const usable = await service.createToken({ organisationSlug: "acme" });
  const honest = await registration(createTestKey(), usable, { agentInfo: { hostname: "honest" } });
  const together = await Promise.allSettled([register(service, hostile), register(service, honest)]);
  t.match(
    together,
    [{ reason: { code: Code.UNAUTHENTICATED } }, { value: { agentId: String } }],
    "a token that no column can hold is unknown, and in nobody's way",
  );
  const normal = await service.createToken({ organisationSlug: "acme" });
  const [{ token_column: column } = {}] = await query(
    "select token as token_column from agent_enrolment_tokens where token_hash = $1",
    [hashOf(normal)],
  );
  await t.rejects(
    register(service, await registration(createTestKey(), column, { agentInfo: { hostname: "thief" } })),
    { code: Code.UNAUTHENTICATED },
    "what stands in the column of a token with a hash is no token",
  );
});
