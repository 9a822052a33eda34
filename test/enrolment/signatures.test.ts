import { join } from "node:path";
import t, { type Test } from "tap";
import { openEnrolment } from "../../dist/app/opening/open-enrolment.js";
import type { Decision } from "../../dist/enrolment/decision.js";
import { rejectAgent, revokeAgent } from "../../dist/enrolment/operators/approval.js";
import type { RegistrationConnection } from "../../dist/enrolment/registration-connection.js";
import type { RawRegistration } from "../../dist/enrolment/registration-request.js";
import { hashEnrolmentToken } from "../../dist/enrolment/tokens/enrolment-token.js";
import { issueEnrolmentToken, type TokenRequest } from "../../dist/enrolment/tokens/token-issue.js";
import { type AgentCas, openAgentCas } from "../../dist/identity/agent-ca/agent-cas.js";
import { parseAgentPublicKey } from "../../dist/identity/agent-key.js";
import { KeyEvents } from "../../dist/identity/key-events.js";
import { openSigningKeyRing } from "../../dist/identity/signing-keys/signing-key-ring.js";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import { openDatabase } from "../../dist/store/database.js";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import { createTestCsr, createTestKey, type TestKey } from "../support/agents/field-agent.js";
import { createTestDatabase, TEMPLATES } from "../support/database/database.js";
import { ENCRYPTION_SECRET } from "../support/fixtures.js";
import { createTestLog } from "../support/log.js";
import { makeDirectory, writeServiceFiles } from "../support/service.js";

const REFUSALS_PER_MINUTE = 12;

/** The enrolment of a service, with a CA that counts what it signs. */
async function openCounted(t: Test, { adoptAutoApprove = false } = {}) {
  const { url, query } = await createTestDatabase(t, TEMPLATES.withAgentCa);
  const directory = await makeDirectory(t);
  await writeServiceFiles(directory);
  const database = openDatabase({ url, maxConnections: 3 });
  t.teardown(() => database.close());
  for (const slug of ["one", "two"]) await insertOrganisation(database.db, { name: slug, slug });
  const publishing = { database, outbox: createClosedOutbox() };
  const { logger } = createTestLog();
  const events = new KeyEvents(logger);
  const signingKeys = await openSigningKeyRing({ db: database.db, path: join(directory, "jwt_key.pem"), events });
  const agentCa = await openAgentCas({ database, encryptionSecret: ENCRYPTION_SECRET, events });
  let signatures = 0;
  const counting = new Proxy(agentCa, {
    get(cas, name) {
      if (name !== "current") return Reflect.get(cas, name, cas);
      const { signer, ...ca } = cas.current;
      // Only who signs asks for it.
      return {
        ...ca,
        get signer() {
          signatures += 1;
          return signer;
        },
      } satisfies AgentCas["current"];
    },
  });
  const policy = {
    adoptAutoApprove,
    addressMatch: "strict" as const,
    refusalsPerMinute: REFUSALS_PER_MINUTE,
    duplicateIgnoreCidrs: [],
  };
  const { registrar, certificateUpkeep } = openEnrolment({
    ...publishing,
    agentCa: counting,
    signingKeys,
    policy,
    logger,
  });
  t.teardown(async () => {
    certificateUpkeep.stop();
    await Promise.all([agentCa.close(), signingKeys.close()]);
  });
  /** Registers, and tells what came of it: a status, or the code of the error. */
  const register = async (
    token: string,
    of: Partial<RawRegistration> & { key: TestKey },
    connection: Partial<RegistrationConnection> = {},
  ): Promise<{ outcome: string; agentId: string; signed: number }> => {
    const { key, ...fields } = of;
    const raw = {
      orgToken: token,
      publicKey: key.rawPem,
      csrDer: createTestCsr(key),
      hostname: "web-01",
      ...{ version: "v1", os: "linux", osVersion: "", arch: "amd64", ipAddresses: [], tags: [] },
      ...fields,
    };
    const before = signatures;
    try {
      const { status, agentId } = await registrar.register(await registrar.prove(raw), {
        remoteAddress: "192.0.2.1",
        certificate: undefined,
        call: { requestId: "one" },
        signal: new AbortController().signal,
        ...connection,
      });
      return { outcome: status, agentId, signed: signatures - before };
    } catch (error) {
      const outcome = (error as { code?: string }).code ?? String(error);
      return { outcome, agentId: "", signed: signatures - before };
    }
  };
  const createToken = async (request: Partial<TokenRequest> = {}) => {
    const wanted = { label: "test", autoApprove: true, tags: [], organisationSlug: "one", ...request };
    return (await issueEnrolmentToken(publishing, wanted)).token;
  };
  /** As if nothing had been heard of any machine for a while. */
  const passTime = () => query("update ingest.agent_registrations set registered_at = now() - interval '1 hour'");
  return { publishing, query, register, createToken, passTime };
}

/** How often is signed for what is decided so, by a token that approves by itself. */
const SIGNED: Record<Decision["kind"], number> = {
  answer: 0,
  "take back": 0,
  revoked: 0,
  enrol: 1,
  // An operator has to approve it.
  adopt: 0,
  refuse: 0,
};

t.test("only a machine that is active is signed for", async (t) => {
  const { publishing, query, register, createToken, passTime } = await openCounted(t);
  const token = await createToken();
  const manual = await createToken({ autoApprove: false });
  const own = createTestKey();
  const ownConnection = { certificate: { serial: "1", publicKey: parseAgentPublicKey(own.rawPem) } };

  const { agentId, ...enrolled } = await register(token, { key: own });
  t.same(enrolled, { outcome: "active", signed: SIGNED.enrol });
  const pending = { key: createTestKey(), hostname: "web-02" };
  t.match(await register(manual, pending), { outcome: "pending", signed: 0 });
  t.match(await register(manual, pending), { outcome: "pending", signed: SIGNED.answer }, "and again");
  t.match(await register("", { key: own }), { outcome: "active", signed: SIGNED.answer }, "with the one on record");

  const refused = async (name: string, outcome: string, ...args: Parameters<typeof register>) =>
    t.match(await register(...args), { outcome, signed: SIGNED.refuse }, name);
  const stranger = { key: createTestKey(), hostname: "web-03" };
  await refused("no such token", "enrolment_token_unusable", "ctops_none", stranger);
  const [ended, revoked, used] = [await createToken(), await createToken(), await createToken({ maxUses: 1 })];
  const ofLabel = async (raw: string, set: string) => {
    await query(`update agent_enrolment_tokens set ${set} where token_hash = $1`, [hashEnrolmentToken(raw)]);
  };
  await ofLabel(ended, "expires_at = now() - interval '1 hour'");
  await ofLabel(revoked, "deleted_at = now()");
  await ofLabel(used, "usage_count = 1");
  await refused("an expired token", "enrolment_token_unusable", ended, stranger);
  await refused("a revoked token", "enrolment_token_unusable", revoked, stranger);
  await refused("a token that is used up", "enrolment_token_unusable", used, stranger);
  await refused("a machine that is there", "host_exists", token, { ...stranger, hostname: "web-01" });
  await refused("a control character", "invalid_field", token, { ...stranger, hostname: "web\u0007" });
  await refused(
    "another organisation's token",
    "key_of_other_organisation",
    await createToken({ organisationSlug: "two" }),
    {
      key: own,
    },
  );
  await refused("no proof", "invalid_field", token, { ...stranger, csrDer: new Uint8Array() });
  const thief = createTestKey();
  await refused("another one's proof", "invalid_field", token, { key: own, csrDer: createTestCsr(own, thief) });

  await passTime();
  const adopter = { key: createTestKey(), hostname: "web-01" };
  t.match(await register(token, adopter), { outcome: "pending", agentId, signed: SIGNED.adopt });
  await refused("a key that does not show it is there", "host_exists", token, { key: own });
  t.match(await register(token, { key: own }, ownConnection), {
    outcome: "active",
    agentId,
    signed: SIGNED["take back"],
  });
  t.match(await register(token, { key: own }), { outcome: "active", agentId, signed: SIGNED.answer });

  await passTime();
  t.match(await register(token, adopter), { outcome: "pending", agentId, signed: SIGNED.adopt });
  await rejectAgent(publishing, agentId, "not ours");
  t.match(await register(token, adopter), { outcome: "revoked", signed: SIGNED.revoked }, "a key that was rejected");
  t.match(await register(token, { key: own }, ownConnection), { outcome: "active", agentId });
  await revokeAgent(publishing, agentId, "stolen");
  t.match(await register(token, { key: own }), { outcome: "revoked", signed: SIGNED.revoked }, "an agent that was");
  await passTime();
  await refused("a machine that was revoked", "host_exists", token, { ...stranger, hostname: "web-01" });

  for (let i = 0; i < REFUSALS_PER_MINUTE; i += 1) await register("ctops_none", stranger);
  await refused("too many refusals, whatever the token", "too_many_refusals", token, stranger);
});

t.test("an adoption that is approved at once is signed for", async (t) => {
  const { register, createToken, passTime } = await openCounted(t, { adoptAutoApprove: true });
  const token = await createToken();
  const { agentId } = await register(token, { key: createTestKey() });
  await passTime();
  t.match(await register(token, { key: createTestKey() }), { outcome: "active", agentId, signed: 1 });
});

t.test("a machine that matches several that are gone is not signed for", async (t) => {
  const { register, createToken, passTime } = await openCounted(t);
  const token = await createToken();
  await register(token, { key: createTestKey(), hostname: "web-01", ipAddresses: ["192.0.2.1"] });
  await register(token, { key: createTestKey(), hostname: "web-02", ipAddresses: ["192.0.2.2"] });
  await passTime();
  const both = { key: createTestKey(), hostname: "web-01", ipAddresses: ["192.0.2.2"] };
  t.match(await register(token, both), { outcome: "host_exists", signed: 0 });
});
