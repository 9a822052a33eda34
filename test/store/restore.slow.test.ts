import { join } from "node:path";
import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { migrateStandalone } from "../../dist/store/migrations/migrate.js";
import {
  createTestCsr,
  enrol,
  openLiveStream,
  register,
  registration,
  renewCertificate,
  type TestIdentity,
} from "../support/agents/field-agent.js";
import { runCommand } from "../support/commands/cli.js";
import { connectTo } from "../support/database/database.js";
import { needPostgresPrograms, startInstalledPostgres } from "../support/database/installed-postgres.js";
import { makeDirectory, startTestService } from "../support/service.js";

const programs = await needPostgresPrograms();

t.test("a database that is restored from a dump of before", { skip: programs.skip }, async (t) => {
  const postgres = await startInstalledPostgres(t, programs.path);
  const dump = join(await makeDirectory(t), "ct-ops.dump");
  await postgres.run("createdb", "ct_ops");
  await migrateStandalone(postgres.url("ct_ops"));
  const client = await connectTo(t, postgres.url("ct_ops"));
  const query = async (text: string, values?: unknown[]) => (await client.query(text, values)).rows;
  const service = await startTestService(t, { on: { url: postgres.url("ct_ops"), query } as never });
  const token = await service.createToken();
  const [stays, renews, isRevoked] = [
    await enrol(service, token, { agentInfo: { hostname: "stays" } }),
    await enrol(service, token, { agentInfo: { hostname: "renews" } }),
    await enrol(service, token, { agentInfo: { hostname: "is-revoked" } }),
  ];
  for (const identity of [stays, renews, isRevoked]) (await openLiveStream(service, identity)).end();

  // As in docs/operations.md.
  await postgres.run("pg_dump", "--format=custom", `--file=${dump}`, postgres.url("ct_ops"));

  const comesLater = await enrol(service, token, { agentInfo: { hostname: "comes-later" } });
  await runCommand(service.env, ["agent", "revoke", isRevoked.agentId]);
  await query("update agents set client_cert_pem = null where id = $1", [renews.agentId]);
  const { agentId, key } = renews;
  const { clientCertPem } = await renewCertificate(service, { agentId, csrDer: createTestCsr(key) }, renews);
  t.not(clientCertPem, renews.certificatePem);
  // Sessions of which the dump knows nothing, one of them open.
  for (const identity of [stays, renews, renews]) await openLiveStream(service, identity);
  await service.close();

  await postgres.run("createdb", "ct_ops_restored");
  await postgres.run("pg_restore", "--no-owner", "--exit-on-error", "--dbname=ct_ops_restored", dump);
  const env = { DATABASE_URL: postgres.url("ct_ops_restored") };
  const restored = await startTestService(t, { of: service, env });
  const onRecord = async (identity: TestIdentity) => {
    const { output } = await runCommand(restored.env, ["agent", "show", "--json", identity.agentId]);
    return JSON.parse(output).agent;
  };

  const goesOn = async (identity: TestIdentity, name: string) => {
    await openLiveStream(restored, identity);
    t.match(await onRecord(identity), { status: "active" }, name);
  };
  await goesOn(stays, "an agent goes on with the identity that it has");
  await goesOn({ ...renews, certificatePem: clientCertPem }, "with a certificate that is newer than the dump");
  await goesOn(renews, "and with the one before it");
  await goesOn(isRevoked, "who was revoked since is let in: docs/operations.md says so");
  await runCommand(restored.env, ["agent", "revoke", isRevoked.agentId]);
  await t.rejects(openLiveStream(restored, isRevoked), { code: Code.PERMISSION_DENIED }, "until it is revoked again");

  await t.rejects(openLiveStream(restored, comesLater), { code: Code.NOT_FOUND }, "who enrolled since is unknown");
  const anew = await register(
    restored,
    await registration(comesLater.key, token, { agentInfo: { hostname: "comes-later" } }),
    comesLater,
  );
  t.match(anew, { status: "active" }, "and enrols anew with a token that can be used");
  const { exitCode, output } = await runCommand(restored.env, ["doctor"]);
  t.equal(exitCode, 0, output);
});
