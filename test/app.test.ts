import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { startApp } from "../dist/app/app.js";
import { parseConfig } from "../dist/config/config.js";
import { createLogger } from "../dist/observe/logger.js";
import { migrateIngest, migrateStandalone } from "../dist/store/migrations/migrate.js";
import { createEmptyDatabase } from "./support/database/database.js";
import { startTestService } from "./support/service.js";
import { exchange } from "./support/wire/raw-connection.js";

t.test("two instances that start at the same moment have one CA and one signing key", async (t) => {
  const first = await startTestService(t);
  await first.close();
  await first.database.query("delete from certificate_authorities");
  const parsed = parseConfig({ ...first.env, INGEST_JWT_KEY_FILE: join(first.directory, "new", "jwt_key.pem") });
  if ("problems" in parsed) throw new Error(parsed.problems.join("\n"));
  const { config } = parsed;
  const apps = await Promise.all([1, 2, 3].map(() => startApp(config, createLogger("silent"))));
  const published = await Promise.all(
    apps.map(async ({ httpPort }) => (await fetch(`http://localhost:${httpPort}/.well-known/jwks.json`)).text()),
  );
  t.equal(new Set(published).size, 1);
  await Promise.all(apps.map((app) => app.close()));
  const [count] = await first.database.query("select count(*)::int from certificate_authorities");
  t.same(count, { count: 1 });
  t.same(await readdir(join(first.directory, "new")), ["jwt_key.pem"], "nothing temporary is left");
  t.equal((await stat(config.jwtKeyFile)).mode & 0o777, 0o600);
  t.match(await readFile(config.jwtKeyFile, "utf8"), /^-----BEGIN RSA PRIVATE KEY-----/);
});

t.test("the plain listener answers three paths and nothing else", async (t) => {
  const service = await startTestService(t);
  for (const host of ["127.0.0.1", "[::1]"]) {
    const healthz = await fetch(`http://${host}:${service.httpPort}/healthz`);
    t.equal(healthz.status, 200);
    t.equal(await healthz.text(), "ok");
    const readyz = await fetch(`http://${host}:${service.httpPort}/readyz`);
    t.equal(readyz.status, 200);
  }
  const jwks = await fetch(`http://localhost:${service.httpPort}/.well-known/jwks.json`);
  t.equal(jwks.headers.get("access-control-allow-origin"), "*");
  t.match(jwks.headers.get("cache-control"), /max-age=\d+/);
  t.equal((await fetch(`http://localhost:${service.httpPort}/`)).status, 404);
  t.equal((await fetch(`http://localhost:${service.httpPort}/healthz`, { method: "POST" })).status, 405);
  const head = await fetch(`http://localhost:${service.httpPort}/healthz`, { method: "HEAD" });
  t.same([head.status, await head.text()], [200, ""]);
  const ask = (target: string, method = "GET") =>
    exchange(service, "plain", {
      bytes: Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: balancer\r\n\r\n`),
      isEnough: (bytes) => bytes.includes("\r\n\r\n"),
    }).then(({ bytes }) => bytes.toString().slice(0, 12));
  for (const target of [
    "http://ingest.example:8080/healthz",
    "HTTP://[::1]/healthz?x",
    "http://h/.well-known/jwks.json",
  ])
    t.equal(await ask(target), "HTTP/1.1 200");
  for (const target of ["http://ingest.example", "http://ingest.example?x", "/healthz/"])
    t.equal(await ask(target), "HTTP/1.1 404");
  t.equal(await ask("/", "OPTIONS"), "HTTP/1.1 204");
});

t.test("a port that is taken is one clear line, and nothing is left open", async (t) => {
  const service = await startTestService(t);
  const parsed = parseConfig({ ...service.env, INGEST_GRPC_PORT: String(service.grpcPort) });
  if ("problems" in parsed) throw new Error(parsed.problems.join("\n"));
  await t.rejects(startApp(parsed.config, createLogger("silent")), {
    message: `cannot listen on port ${service.grpcPort}: it is in use by another process`,
  });
});

t.test("migrations: an empty database is refused, a standalone one made, twice and at once", async (t) => {
  const { url, query } = await createEmptyDatabase(t);
  await t.rejects(migrateIngest(url), { code: "platform_tables_missing", message: /migrate --standalone/ });
  await Promise.all([migrateStandalone(url), migrateStandalone(url), migrateStandalone(url)]);
  await migrateStandalone(url);
  await Promise.all([migrateIngest(url), migrateIngest(url)]);
  t.same(await query("select to_regclass('drizzle.__drizzle_migrations') as journal"), [{ journal: null }]);
});

t.test("an attempt that failed does not make the platform's tables ours", async (t) => {
  const { url, query } = await createEmptyDatabase(t);
  await query("create table other (id text)");
  await query("create index task_runs_scheduled_from_id_idx on other (id)");
  await t.rejects(migrateStandalone(url));
  await query("drop table other");
  // The web app makes them.
  const baseline = await readFile(new URL("../drizzle/platform/0000_baseline.sql", import.meta.url), "utf8");
  await query(baseline.replaceAll("--> statement-breakpoint", ""));
  await migrateStandalone(url);
  t.same(await query("select from ingest.platform_migrations"), [], "they are left alone");
  t.same(await query('select from "user"'), []);
});
