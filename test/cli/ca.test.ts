import { generateKeyPairSync, X509Certificate } from "node:crypto";
import t from "tap";
import { sealKey } from "../../dist/identity/agent-ca/sealed-key.js";
import { enrol } from "../support/agents/field-agent.js";
import { type CaVariant, createCa, UNFIT_CA_EXTENSIONS } from "../support/certificates/agent-cas.js";
import { runCommand } from "../support/commands/cli.js";
import { createTestDatabase, TEMPLATES } from "../support/database/database.js";
import { ENCRYPTION_SECRET } from "../support/fixtures.js";
import { startTestService } from "../support/service.js";

t.test("ca rotate, ca list and ca retire, as an operator sees them", async (t) => {
  const service = await startTestService(t);
  const { env } = service;
  const token = await service.createToken();
  for (const hostname of ["a", "b", "c"]) await enrol(service, token, { agentInfo: { hostname } });
  // One whose certificate only its own row knows: the earlier service issued it.
  await service.database.query(
    "delete from ingest.client_certificates where agent_id = (select id from agents where hostname = 'a')",
  );
  const list = async () => JSON.parse((await runCommand(env, ["ca", "list", "--json"])).output);
  const [{ id }] = await list();
  t.match(await list(), [{ id, state: "signs", source: "auto", agents: 3 }]);

  t.match(await runCommand({ ...env, LDAP_ENCRYPTION_KEY: "" }, ["ca", "rotate"]), {
    exitCode: 1,
    errors: /set LDAP_ENCRYPTION_KEY/,
  });
  t.match(await runCommand({ ...env, INGEST_AGENT_CA_CERT: "/own/ca.crt" }, ["ca", "rotate"]), {
    exitCode: 1,
    errors: /your own CA in \/own\/ca\.crt/,
  });
  t.match(await runCommand(env, ["ca", "retire", id]), { exitCode: 1, errors: /signs/ });
  t.match(await runCommand(env, ["ca", "rotate"]), { exitCode: 0, output: /^agent CA \w{16} signs from now on/ });
  const { output } = await runCommand(env, ["ca", "list"]);
  t.match(output, /0 of 3 agents have moved to the CA that signs, 3 are left until 20\d\d-\d\d-\d\d$/);
  t.match(await runCommand(env, ["ca", "retire", id]), {
    exitCode: 1,
    output: "",
    errors: /3 agents depend on it, until .*--force/,
  });
  t.match(await runCommand(env, ["ca", "retire", id, "--force"]), { exitCode: 1, errors: /cut off 3 agents\?.*--yes/ });
  t.match(await runCommand(env, ["ca", "retire", id, "--force", "--dry-run"]), { output: /^would retire .*3 agents/ });
  t.match(await runCommand(env, ["ca", "retire", id, "--force", "--yes"]), {
    exitCode: 0,
    output: new RegExp(`^3 agents depend on agent CA ${id}\nretired ${id}`),
  });
  t.match(await list(), [
    { state: "signs", agents: 0 },
    { id, state: "retired", agents: 3 },
  ]);
});

t.test("agents that only the earlier service's record tells of are counted by their certificate", async (t) => {
  const service = await startTestService(t);
  const agent = await enrol(service, await service.createToken());
  await service.database.query(
    `insert into agents (id, organisation_id, hostname, public_key, status, client_cert_pem, client_cert_serial,
       client_cert_issued_at, client_cert_not_after)
     select 'earlier-' || n, organisation_id, 'h' || n, 'k' || n,
       case n % 5 when 0 then 'revoked' when 1 then 'offline' else 'active' end, client_cert_pem, 's' || n,
       client_cert_issued_at, client_cert_not_after
     from agents, generate_series(1, 2500) n where id = $1`,
    [agent.agentId],
  );
  await service.database.query("update agents set client_cert_pem = 'damaged' where hostname = 'h1'");
  await service.database.query(
    `insert into certificate_authorities
       (id, purpose, cert_pem, key_pem_encrypted, source, fingerprint_sha256, not_before, not_after, deleted_at)
     values ('damaged', 'agent_ca', 'damaged', '', 'byo', 'damaged', now(), now() + interval '1 day', now())`,
  );
  const { output } = await runCommand(service.env, ["ca", "list", "--json"]);
  t.match(JSON.parse(output), [
    { id: "damaged", state: "trusted", agents: 0 },
    { state: "signs", agents: 1 + 2000 - 1 },
  ]);
});

t.test(
  "ca list says of a CA that is to sign and cannot why, and which one signs meanwhile, as doctor does",
  async (t) => {
    const { url, query } = await createTestDatabase(t, TEMPLATES.withAgentCa);
    const env = { DATABASE_URL: url, LDAP_ENCRYPTION_KEY: ENCRYPTION_SECRET };
    /** As the web app stores one that is uploaded. */
    const upload = async (id: string, variant: CaVariant) => {
      const { certificatePem, keyPem } = await createCa(variant);
      const { fingerprint256, validFrom, validTo } = new X509Certificate(certificatePem);
      await query("update certificate_authorities set deleted_at = now() where deleted_at is null");
      await query(
        `insert into certificate_authorities
         (id, purpose, cert_pem, key_pem_encrypted, source, fingerprint_sha256, not_before, not_after)
       values ($1, 'agent_ca', $2, $3, 'byo', $4, $5, $6)`,
        [
          id,
          certificatePem,
          await sealKey(keyPem, ENCRYPTION_SECRET),
          fingerprint256.replaceAll(":", "").toLowerCase(),
          validFrom,
          validTo,
        ],
      );
    };
    const list = async () => JSON.parse((await runCommand(env, ["ca", "list", "--json"])).output);
    const doctor = async () =>
      (JSON.parse((await runCommand(env, ["doctor", "--json"])).output) as { check: string; verdict: string }[]).find(
        ({ check }) => check === "agent CA",
      );
    const ed25519 = { key: generateKeyPairSync("ed25519").privateKey };
    await upload("ed25519", ed25519);
    t.match(await list(), [{ id: "ed25519", state: "signs" }, { state: "trusted" }]);
    t.match(await doctor(), { verdict: "ok" });

    await upload("unfit", { extensions: UNFIT_CA_EXTENSIONS });
    const why = /what it signs would be refused here/;
    t.match(await list(), [
      { id: "unfit", state: "unusable", problem: why },
      { id: "ed25519", state: "signs" },
      { state: "trusted" },
    ]);
    t.match(await doctor(), { verdict: "error", message: why });
    t.match(
      (await runCommand(env, ["ca", "list"])).output,
      /^ID .*\nunfit +unusable .*\ned25519 +signs (.*\n)*.*refused here/,
    );
    t.match(await runCommand(env, ["ca", "retire", "ed25519"]), { exitCode: 1, errors: /ed25519 signs/ });
  },
);
