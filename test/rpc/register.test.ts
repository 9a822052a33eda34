import { X509Certificate } from "node:crypto";
import { status as Code } from "@grpc/grpc-js";
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import t from "tap";
import { approveAgent, revokeAgent } from "../../dist/enrolment/operators/approval.js";
import { createTestCsr, createTestKey, enrol, register, registration } from "../support/agents/field-agent.js";
import { startTestService } from "../support/service.js";

t.test("an auto-approve token gives an identity at once", async (t) => {
  const service = await startTestService(t);
  await service.database.query(
    `update organisations set metadata = '{"defaultTags":[{"key":"Env","value":"none"},{"key":"team","value":"ops"}]}'`,
  );
  const token = await service.createToken({ tags: [{ key: "env", value: "prod" }] });
  const key = createTestKey();
  const tags = [{ key: "ROLE", value: "web" }];
  const reply = await register(service, await registration(key, token, { tags }));

  t.equal(reply.status, "active");
  t.match(reply.agentId, /^[a-z][a-z0-9]{23}$/);
  const certificate = new X509Certificate(reply.clientCertPem);
  const [agent] = await service.database.query("select * from agents");
  t.match(agent, {
    id: reply.agentId,
    hostname: "web-01",
    public_key: key.rawPem,
    status: "active",
    version: "v1.2.3",
    os: "linux",
    arch: "amd64",
    client_cert_pem: reply.clientCertPem,
    client_cert_serial: certificate.serialNumber.toLowerCase().replace(/^0+/, ""),
  });
  const organisationId = agent?.organisation_id as string;
  t.equal(
    certificate.subjectAltName,
    `URI:spiffe://ct-ops/org/${organisationId}/agent/${reply.agentId}`,
    "exactly one SPIFFE id",
  );
  t.match(certificate.subject, new RegExp(`CN=${reply.agentId}`));
  t.match(certificate.subject, new RegExp(`O=${organisationId}`));
  t.same(certificate.keyUsage, ["1.3.6.1.5.5.7.3.2"], "extended key usage: clientAuth");
  t.ok(certificate.verify(new X509Certificate(reply.agentCaCertPem).publicKey), "signed by the agent CA");
  t.equal(Number(reply.clientCertNotAfterUnix), Date.parse(certificate.validTo) / 1000);
  t.equal(Date.parse(certificate.validTo) - Date.parse(certificate.validFrom), (90 * 24 * 60 + 1) * 60 * 1000);
  t.ok(certificate.publicKey.export({ format: "der", type: "spki" }).subarray(-32).equals(key.raw));

  const ca = new X509Certificate(reply.agentCaCertPem);
  t.match(ca.subject, /CN=ct-ops Agent CA/);
  t.ok(ca.ca);

  const answer = await fetch(`http://localhost:${service.httpPort}/.well-known/jwks.json`);
  const jwks = (await answer.json()) as JSONWebKeySet;
  const { payload } = await jwtVerify(reply.jwtToken, createLocalJWKSet(jwks), { algorithms: ["RS256"] });
  t.match(payload, { iss: "ct-ops-ingest", sub: reply.agentId, org: organisationId });
  t.equal((payload.exp ?? 0) - (payload.iat ?? 0), 24 * 60 * 60);
  t.ok(decodeProtectedHeader(reply.jwtToken).kid);
  t.match(jwks.keys[0], { kty: "RSA", use: "sig", alg: "RS256", kid: String, n: String, e: "AQAB" });

  const [host] = await service.database.query("select * from hosts");
  t.match(host, { agent_id: reply.agentId, hostname: "web-01", status: "unknown", ip_addresses: null });
  const linked = await service.database.query(
    `select tags.key, tags.value, tags.usage_count from resource_tags r join tags on tags.id = r.tag_id
     where r.resource_type = 'host' and r.resource_id = $1 order by tags.key collate "C"`,
    [host?.id],
  );
  t.same(
    linked,
    [
      { key: "ROLE", value: "web", usage_count: 1 },
      { key: "env", value: "prod", usage_count: 1 },
      { key: "team", value: "ops", usage_count: 1 },
    ],
    "defaults, then the token's, then the request's; later wins, keys case-insensitive",
  );
  const history = await service.database.query(
    "select status from agent_status_history order by created_at, status desc",
  );
  t.same(
    history.map((row) => row.status),
    ["pending", "active"],
  );
  t.match(await service.database.query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 1 }]);
});

t.test("without auto-approve the agent waits, and its next poll after the approval is answered", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken({ autoApprove: false, maxUses: 1, tags: [{ key: "env", value: "prod" }] });
  const key = createTestKey();
  const request = await registration(key, token, { tags: [{ key: "role", value: "db" }] });
  const first = await register(service, request);
  t.match(first, { status: "pending", jwtToken: "", clientCertPem: "" });
  const again = await register(service, request);
  t.match(again, { status: "pending", agentId: first.agentId }, "the second poll needs no usable token");
  t.match(await service.database.query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 1 }]);
  const [waiting] = await service.database.query("select metadata from hosts");
  t.same(waiting?.metadata.pendingTags, [
    { key: "env", value: "prod" },
    { key: "role", value: "db" },
  ]);

  await approveAgent(service.publishing, first.agentId);
  const approved = await register(service, request);
  t.match(approved, { status: "active", agentId: first.agentId, jwtToken: /./, clientCertPem: /BEGIN CERTIFICATE/ });
  const tags = await service.database.query("select key from tags order by key");
  t.same(
    tags.map((tag) => tag.key),
    ["env", "role"],
  );
  const [host] = await service.database.query("select metadata from hosts");
  t.notOk(host?.metadata.pendingTags);
  await t.rejects(approveAgent(service.publishing, first.agentId), { code: "operation_refused" });

  await revokeAgent(service.publishing, first.agentId, "stolen");
  t.match(await register(service, request), { status: "revoked", jwtToken: "", clientCertPem: "" });
});

t.test("one key is one agent, in either form and at the same time", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken({ maxUses: 1 });
  const key = createTestKey();
  const request = await registration(key, token);
  const replies = await Promise.all(Array.from({ length: 20 }, () => register(service, request)));
  t.equal(new Set(replies.map((reply) => reply.agentId)).size, 1);
  t.ok(replies.every((reply) => reply.status === "active"));
  const spki = await register(service, { ...request, publicKey: key.spkiPem, orgToken: "" });
  t.equal(spki.agentId, replies[0]?.agentId);
  t.equal((await service.database.query("select from agents")).length, 1);
  t.equal((await service.database.query("select from hosts")).length, 1);
  t.match(await service.database.query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 1 }]);
});

t.test("what is wrong is refused by code and field, and changes nothing", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  const key = createTestKey();
  const other = createTestKey();
  const good = await registration(key, token);
  const cases: [string, object, number, RegExp][] = [
    ["no public key", { publicKey: "" }, Code.INVALID_ARGUMENT, /public_key/],
    ["not a key", { publicKey: "hello" }, Code.INVALID_ARGUMENT, /public_key/],
    ["no CSR", { csrDer: Buffer.alloc(0) }, Code.INVALID_ARGUMENT, /csr_der: missing/],
    ["not a CSR", { csrDer: Buffer.from("hello") }, Code.INVALID_ARGUMENT, /csr_der: not a PKCS#10/],
    ["CSR of another key", { csrDer: createTestCsr(other) }, Code.INVALID_ARGUMENT, /csr_der: carries another key/],
    ["CSR signed by another key", { csrDer: createTestCsr(key, other) }, Code.INVALID_ARGUMENT, /not signed by/],
    ["no token", { orgToken: "" }, Code.INVALID_ARGUMENT, /org_token/],
    ["unknown token", { orgToken: "nonsense" }, Code.UNAUTHENTICATED, /enrolment token cannot be used/],
    [
      "long hostname",
      { agentInfo: { hostname: "x".repeat(256) } },
      Code.INVALID_ARGUMENT,
      /agent_info\.hostname: longer/,
    ],
    ["long token", { orgToken: "x".repeat(513) }, Code.INVALID_ARGUMENT, /org_token: longer/],
    ...["\0", "\x1b[31m", "\x7f", "\x85", "\x9b", "\n"].map((control): [string, object, number, RegExp] => [
      `hostname with ${JSON.stringify(control)}`,
      { agentInfo: { hostname: `a${control}b` } },
      Code.INVALID_ARGUMENT,
      /agent_info\.hostname: contains a control character/,
    ]),
    ...["\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u2028", "\u3164"].map(
      (unseen): [string, object, number, RegExp] => [
        `hostname with ${JSON.stringify(unseen)}`,
        { agentInfo: { hostname: `a${unseen}b` } },
        Code.INVALID_ARGUMENT,
        /agent_info\.hostname: contains a character that cannot be seen/,
      ],
    ),
    [
      "version",
      { agentInfo: { version: "v1\x1b]0;" } },
      Code.INVALID_ARGUMENT,
      /agent_info\.version: contains a control/,
    ],
    ["tag key", { tags: [{ key: "a\x07", value: "x" }] }, Code.INVALID_ARGUMENT, /tags\[0\]\.key: contains a control/],
    ["tag", { tags: [{ key: "a", value: "\x9bx" }] }, Code.INVALID_ARGUMENT, /tags\[0\]\.value: contains a control/],
  ];
  for (const [name, fields, code, details] of cases) {
    await t.rejects(register(service, { ...good, ...fields }), { code, details }, name);
  }
  const unusable = [
    ["expired", "expires_at = now() - interval '1 second'"],
    ["exhausted", "expires_at = null, max_uses = 3, usage_count = 3"],
    ["deleted", "max_uses = null, deleted_at = now()"],
  ];
  for (const [name, assignment] of unusable) {
    await service.database.query(`update agent_enrolment_tokens set ${assignment}`);
    await t.rejects(
      register(service, good),
      { code: Code.UNAUTHENTICATED, details: /^the enrolment token cannot be used; / },
      `${name}: one text for all`,
    );
  }
  t.same(await service.database.query("select from agents"), []);
  t.same(await service.database.query("select from hosts"), []);
});

/** Too much of everything, and what no terminal should see. */
function unruly(hostname: string) {
  return {
    agentInfo: { hostname, version: "v".repeat(200) },
    platformInfo: {
      os: "o".repeat(200),
      osVersion: "x".repeat(300),
      arch: "a\x1bb".repeat(50),
      ipAddresses: Array.from({ length: 600 }, (_, n) => `10.3.${n >> 8}.${n & 255}`),
    },
    tags: [
      { key: " ", value: "x" },
      ...Array.from({ length: 70 }, (_, n) => ({ key: `k${n}`, value: "v".repeat(300) })),
    ],
  };
}

t.test("a new machine is brought within bounds, as heartbeats are", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const request = await registration(createTestKey(), await service.createToken(), unruly("web-01"));
  t.match(await register(service, request), { status: "active" });
  t.match(await query("select version, os, arch from agents"), [
    { version: "v".repeat(128), os: "o".repeat(128), arch: "ab".repeat(32) },
  ]);
  t.match(await query("select os_version from hosts"), [{ os_version: "x".repeat(256) }]);
  t.match(await query("select count(*)::int, max(length(value)) as longest from tags"), [{ count: 63, longest: 256 }]);
  const [{ identifying_addresses: addresses } = { identifying_addresses: [] }] = await query(
    "select identifying_addresses from ingest.agent_registrations",
  );
  t.equal(addresses.length, 32);
});

t.test("a hostname with space around it is the hostname", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  await register(service, await registration(createTestKey(), token, { agentInfo: { hostname: " web-01\u00a0" } }));
  t.match(await service.database.query("select hostname from hosts"), [{ hostname: "web-01" }]);
  const other = await registration(createTestKey(), token, { agentInfo: { hostname: "web-01 " } });
  await t.rejects(
    register(service, other),
    { code: Code.ALREADY_EXISTS },
    "and hides no machine from the duplicate rule",
  );
});

t.test("an agent whose key is known is never refused for its form", async (t) => {
  const service = await startTestService(t);
  const key = createTestKey();
  const { agentId } = await register(service, await registration(key, await service.createToken()));
  const forms: Record<string, object> = {
    "too much of everything": unruly("web-01"),
    "a long hostname": { agentInfo: { hostname: "x".repeat(3_000) } },
    "control characters": {
      agentInfo: { hostname: "a\0\x1b[2J", version: "\x9b" },
      tags: [{ key: "\0", value: "\0" }],
    },
    "a token that is too long": { orgToken: "x".repeat(5_000) },
    "addresses that are none": { platformInfo: { ipAddresses: ["x".repeat(10_000), "10.1", ""] } },
  };
  for (const status of ["active", "pending", "offline", "revoked"]) {
    await service.database.query("update agents set status = $1", [status]);
    for (const [name, fields] of Object.entries(forms)) {
      const reply = await register(service, await registration(key, "", fields));
      t.match(reply, { agentId, status: status === "offline" ? "active" : status }, `${status}: ${name}`);
    }
  }
  await service.database.query("delete from hosts");
  await service.database.query("update agents set status = 'active'");
  await register(service, await registration(key, "", { agentInfo: { hostname: "h\x07".repeat(300) } }));
  t.match(await service.database.query("select hostname from hosts"), [{ hostname: "h".repeat(255) }], "its host too");
});

t.test("a token may be pasted with what surrounds it", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken();
  for (const pasted of [` ${token}`, `${token}\r\n`, `\uFEFF${token}`, `\t\u200B${token}\u00A0`]) {
    const own = { agentInfo: { hostname: encodeURIComponent(pasted).slice(0, 40) }, platformInfo: { ipAddresses: [] } };
    const request = await registration(createTestKey(), pasted, own);
    t.match(await register(service, request), { status: "active" }, JSON.stringify(pasted));
  }
  await t.rejects(register(service, await registration(createTestKey(), " \n")), {
    code: Code.INVALID_ARGUMENT,
    details: /org_token: missing/,
  });
});

t.test("max_uses holds under concurrency", async (t) => {
  const service = await startTestService(t);
  const token = await service.createToken({ maxUses: 5 });
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, (_, i) => enrol(service, token, { agentInfo: { hostname: `host-${i}` } })),
  );
  t.equal(results.filter(({ status }) => status === "fulfilled").length, 5);
  t.equal((await service.database.query("select from agents")).length, 5);
  t.equal((await service.database.query("select from hosts")).length, 5);
  t.match(await service.database.query("select usage_count from agent_enrolment_tokens"), [{ usage_count: 5 }]);
});
