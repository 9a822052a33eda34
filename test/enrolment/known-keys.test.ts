import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import {
  createTestKey,
  openLiveStream,
  register,
  registerAll,
  registration,
  type TestIdentity,
} from "../support/agents/field-agent.js";
import { connectTo } from "../support/database/database.js";
import { recordStatements } from "../support/database/statements.js";
import { startTestService, type TestService } from "../support/service.js";
import { shareTestService } from "../support/shared-service.js";

const TOKEN_STATES = {
  expired: "expires_at = now() - interval '1 second'",
  exhausted: "expires_at = null, max_uses = 1, usage_count = 1",
  revoked: "deleted_at = now()",
};

const sharedService = shareTestService(t);

t.test("a key that is known and proven is served whatever became of the token", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const key = createTestKey();
  const token = await service.createToken({ autoApprove: false });
  const request = await registration(key, token);
  const { agentId } = await register(service, request);

  const answers = { pending: "pending", active: "active", offline: "active", revoked: "revoked" };
  for (const [status, answer] of Object.entries(answers)) {
    await query("update agents set status = $1", [status]);
    for (const [state, assignment] of Object.entries(TOKEN_STATES)) {
      await query(`update agent_enrolment_tokens set ${assignment}`);
      const reply = await register(service, request);
      t.match(reply, { agentId, status: answer }, `${status}, token ${state}`);
      t.equal(reply.jwtToken !== "", answer === "active");
      t.equal(reply.clientCertPem !== "", answer === "active");
    }
    for (const orgToken of ["", "no token of ours"]) {
      t.match(await register(service, { ...request, orgToken }), { agentId, status: answer }, `token "${orgToken}"`);
    }
    await query("update agent_enrolment_tokens set deleted_at = null, max_uses = null");
  }
  t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 1 }], "nothing was used up");
  t.same(await query("select status from agents"), [{ status: "revoked" }]);
});

t.test("a fleet that comes back registers together, whoever asks twice as well", async (t) => {
  const service = await sharedService();
  const token = await service.createToken();
  const machine = (n: number) => ({ agentInfo: { hostname: `machine-${n}` } });
  const requests = await Promise.all(
    Array.from({ length: 20 }, (_, n) => registration(createTestKey(), token, machine(n))),
  );
  const first = await registerAll(service, requests);
  let second: typeof first = [];
  const statements = await recordStatements(async () => {
    second = await registerAll(service, [...requests, ...requests.slice(0, 5)]);
  });
  const agentIds = (all: typeof first) => all.map((each) => each.status === "fulfilled" && each.value.agentId);
  t.same(agentIds(second), [...agentIds(first), ...agentIds(first).slice(0, 5)]);
  // What is recorded of each, and the certificate that it has.
  const ofEach = statements.filter(({ text }) => /agent_registrations|"client_cert_pem"/.test(text));
  t.ok(ofEach.length < requests.length, `${ofEach.length} statements`);
});

t.test("an agent that somebody keeps locked keeps no other one from registering", async (t) => {
  const service = await sharedService();
  const token = await service.createToken();
  const requests = await Promise.all(Array.from({ length: 2 }, () => registration(createTestKey(), token)));
  const [locked, other] = await registerAll(service, requests);
  if (locked?.status !== "fulfilled" || other?.status !== "fulfilled") throw new Error("not registered");
  const holder = await connectTo(t, service.database.url);
  await holder.query("begin");
  await holder.query("select from agents where id = $1 for update", [locked.value.agentId]);
  const waiting = register(service, requests[0] as object);
  const before = performance.now();
  const served = await registerAll(service, Array<object>(5).fill(requests[1] as object));
  t.ok(served.every((each) => each.status === "fulfilled" && each.value.agentId === other.value.agentId));
  t.ok(performance.now() - before < 2_500, "they do not wait until the lock is given up");
  await holder.query("commit");
  t.match(await waiting, { agentId: locked.value.agentId, status: "active" });
});

t.test("a known key with another organisation's token is told what to do, if the token could be used", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  await insertOrganisation(service.store.db, { name: "Other", slug: "other" });
  const own = await service.createToken({ organisationSlug: "test" });
  const other = await service.createToken({ organisationSlug: "other" });
  const request = await registration(createTestKey(), own);
  const { agentId } = await register(service, request);
  const before = await query("select * from agents");
  await t.rejects(register(service, { ...request, orgToken: other }), {
    code: Code.FAILED_PRECONDITION,
    details: /another organisation.*data directory/,
  });
  t.same(await query("select * from agents"), before);
  t.match(await query("select usage_count from agent_enrolment_tokens where label = 'test' order by usage_count"), [
    { usage_count: 0 },
    { usage_count: 1 },
  ]);
  await query("update agent_enrolment_tokens set expires_at = now() where usage_count = 0");
  t.match(await register(service, { ...request, orgToken: other }), { agentId, status: "active" });
});

const DELETIONS = {
  "agent and host": ["update agents set deleted_at = now()", "update hosts set deleted_at = now()"],
  "agent alone": ["update agents set deleted_at = now()"],
  "host alone": ["update hosts set deleted_at = now()"],
};

for (const [what, statements] of Object.entries(DELETIONS)) {
  t.test(`the key of a deleted machine enrols anew on its agent row: ${what}`, async (t) => {
    const service = await sharedService();
    const { query } = service.database;
    const token = await service.createToken();
    const key = createTestKey();
    const request = await registration(key, token);
    const first = await register(service, request);
    for (const statement of statements) await query(statement);

    await t.rejects(register(service, { ...request, orgToken: "no token of ours" }), { code: Code.UNAUTHENTICATED });
    const replies = await Promise.all(Array.from({ length: 10 }, () => register(service, request)));
    t.ok(replies.every((reply) => reply.status === "active" && reply.agentId === first.agentId));
    t.match(await query("select status, deleted_at from agents"), [{ status: "active", deleted_at: null }]);
    const hosts = await query("select deleted_at from hosts order by created_at");
    t.equal(hosts.length, 2, "a new host row");
    t.ok(hosts[0]?.deleted_at);
    t.equal(hosts[1]?.deleted_at, null);
    t.match(await query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 2 }], "one more use");
    const history = await query("select reason from agent_status_history where reason like 'registered again%'");
    t.equal(history.length, 1);
    await (await openLiveStream(service, identityOf(replies[0], key))).end();

    for (const statement of statements) await query(statement);
    const waiting = await service.createToken({ autoApprove: false });
    t.match(await register(service, { ...request, orgToken: waiting }), { status: "pending", agentId: first.agentId });
    t.match(await query("select client_cert_pem, approved_at from agents"), [
      { client_cert_pem: null, approved_at: null },
    ]);
  });
}

t.test("deleted is gone in another organisation too, and a hard-deleted agent is a new one", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  await insertOrganisation(service.store.db, { name: "Other", slug: "other" });
  const own = await service.createToken({ organisationSlug: "test" });
  const other = await service.createToken({ organisationSlug: "other" });
  const request = await registration(createTestKey(), own);
  const first = await register(service, request);
  await query("update agents set deleted_at = now()");
  t.match(await register(service, { ...request, orgToken: other }), { agentId: first.agentId, status: "active" });
  t.match(
    await query(`select o.slug from agents a join organisations o on o.id = a.organisation_id
                 join hosts h on h.agent_id = a.id and h.organisation_id = o.id and h.deleted_at is null`),
    [{ slug: "other" }],
  );

  await query("delete from hosts");
  await query("delete from agent_status_history");
  await query("delete from agents");
  const anew = await register(service, { ...request, orgToken: other });
  t.not(anew.agentId, first.agentId);
  t.equal(anew.status, "pending", "whether it may come back an operator knows");
});

t.test("only a revoked agent that is not deleted is answered revoked", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const request = await registration(createTestKey(), await service.createToken({ autoApprove: false }));
  await register(service, request);
  await query("update agents set status = 'revoked'");
  await query("update hosts set deleted_at = now()");
  t.match(await register(service, request), { status: "revoked" });
  await query("update agents set deleted_at = now()");
  t.match(await register(service, request), { status: "pending" });
});

t.test("an agent that never got its host gets one", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const key = createTestKey();
  const request = await registration(key, await service.createToken());
  await register(service, request);
  await query("delete from hosts");
  await query("update agent_enrolment_tokens set deleted_at = now()");
  const replies = await Promise.all(Array.from({ length: 5 }, () => register(service, request)));
  t.equal((await query("select from hosts")).length, 1);
  await (await openLiveStream(service, identityOf(replies[0], key))).end();
});

function identityOf(reply: Awaited<ReturnType<typeof register>> | undefined, key: ReturnType<typeof createTestKey>) {
  if (reply === undefined) throw new Error("there is no reply");
  return {
    agentId: reply.agentId,
    key,
    jwt: reply.jwtToken,
    certificatePem: reply.clientCertPem,
    privateKeyPem: key.privateKeyPem,
  } satisfies TestIdentity;
}

t.test("a token of a deleted organisation is of no use", async (t) => {
  const service: TestService = await startTestService(t);
  const request = await registration(createTestKey(), await service.createToken());
  await service.database.query("update organisations set deleted_at = now()");
  await t.rejects(register(service, request), { code: Code.UNAUTHENTICATED });
});
