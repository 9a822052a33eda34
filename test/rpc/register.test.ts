import { X509Certificate } from "node:crypto";
import { status as Code } from "@grpc/grpc-js";
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import t from "tap";
import { approveAgent, revokeAgent } from "../../dist/enrolment/operators/approval.js";
import { createTestCsr, createTestKey, enrol, register, registration } from "../support/field-agent.js";
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

  await approveAgent(service.store, first.agentId);
  const approved = await register(service, request);
  t.match(approved, { status: "active", agentId: first.agentId, jwtToken: /./, clientCertPem: /BEGIN CERTIFICATE/ });
  const tags = await service.database.query("select key from tags order by key");
  t.same(
    tags.map((tag) => tag.key),
    ["env", "role"],
  );
  const [host] = await service.database.query("select metadata from hosts");
  t.notOk(host?.metadata.pendingTags);
  await t.rejects(approveAgent(service.store, first.agentId), { code: "operation_refused" });

  await revokeAgent(service.store, first.agentId, "stolen");
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
    ["NUL", { agentInfo: { hostname: "a\0b" } }, Code.INVALID_ARGUMENT, /agent_info\.hostname: contains a NUL/],
    ["long version", { agentInfo: { version: "x".repeat(129) } }, Code.INVALID_ARGUMENT, /agent_info\.version/],
    ["no tag key", { tags: [{ key: "", value: "x" }] }, Code.INVALID_ARGUMENT, /tags\[0\]\.key/],
    [
      "too many tags",
      { tags: Array.from({ length: 65 }, (_, i) => ({ key: `k${i}`, value: "" })) },
      Code.INVALID_ARGUMENT,
      /tags/,
    ],
    [
      "too many addresses",
      { platformInfo: { ipAddresses: Array.from({ length: 513 }, () => "192.0.2.1") } },
      Code.INVALID_ARGUMENT,
      /platform_info\.ip_addresses/,
    ],
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
