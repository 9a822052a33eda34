import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { parse, type ScalarTag } from "yaml";
import { runCli } from "../../dist/cli/program.js";
import { parseConfig } from "../../dist/config/config.js";
import { readContainerfile, type Stage, valuesOf } from "../support/containerfile.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The service as the platform's compose file runs it. */
const PLATFORM = parse(`
services:
  ingest:
    image: \${INGEST_IMAGE:-ghcr.io/carrtech-dev/ct-ops/ingest:latest}
    build: { context: ., dockerfile: apps/ingest/Dockerfile }
    ports: ["9443:9443", "8080:8080"]
    environment:
      DATABASE_URL: postgresql://ctops:ctops@db:5432/ctops
      INGEST_TLS_CERT: /etc/ct-ops/tls/server.crt
      INGEST_TLS_KEY: /etc/ct-ops/tls/server.key
      INGEST_JWT_KEY_FILE: /var/lib/ct-ops/jwt_key.pem
      INGEST_AGENT_DOWNLOAD_BASE_URL: \${AGENT_DOWNLOAD_BASE_URL:-http://localhost:3000}
    volumes:
      - ./deploy/dev-tls:/etc/ct-ops/tls:ro
      - ingest_data:/var/lib/ct-ops
    healthcheck:
      test: ["CMD", "wget", "-qO-", "http://localhost:8080/healthz"]
`);

/** What compose takes out of the files before, rather than merging. */
const RESET = "reset";
const reset: ScalarTag = { tag: "!reset", resolve: () => RESET };

async function readCompose(path: string) {
  return parse(await readFile(join(ROOT, path), "utf8"), { customTags: [reset] });
}

/** Puts the variables of an .env file into what a compose file says, as compose does. */
function interpolate(environment: Record<string, string>, variables: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      value.replaceAll(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, variable, kind, text) => {
        const found = variables[variable];
        if (found) return found;
        if (kind === "?") throw new Error(text);
        return text ?? "";
      }),
    ]),
  );
}

/** What the image itself sets. */
async function imageEnvironment(): Promise<Record<string, string>> {
  const stages = await readContainerfile(join(ROOT, "Containerfile"));
  const pairs = valuesOf(stages.at(-1) as Stage, "ENV").flatMap((value) => value.split(" "));
  return Object.fromEntries(pairs.map((pair) => pair.split("=") as [string, string]));
}

t.test("compose.yaml: a database, its tables, a certificate, and then the service", async (t) => {
  const { services, volumes } = await readCompose("compose.yaml");
  t.match(services.db, { image: "postgres:16", healthcheck: { test: Array } });
  t.match(services.migrate, {
    command: ["migrate", "--standalone"],
    depends_on: { db: { condition: "service_healthy" } },
  });
  const { ingest } = services;
  t.match(ingest, {
    build: { context: ".", dockerfile: "Containerfile" },
    depends_on: {
      migrate: { condition: "service_completed_successfully" },
      tls: { condition: "service_completed_successfully" },
    },
    ports: ["9443:9443", "8080:8080"],
    read_only: true,
    stop_grace_period: "30s",
  });
  for (const service of Object.values(services) as { volumes?: string[] }[]) {
    for (const volume of service.volumes ?? []) t.ok((volume.split(":")[0] as string) in volumes, volume);
  }
  const environment = {
    ...(await imageEnvironment()),
    ...interpolate(ingest.environment, { LDAP_ENCRYPTION_KEY: "x" }),
  };
  t.match(parseConfig(environment), {
    warnings: [],
    config: {
      databaseUrl: "postgresql://ctops:ctops@db:5432/ctops",
      tls: { certFile: "/etc/ct-ops/tls/server.crt", keyFile: "/etc/ct-ops/tls/server.key" },
      jwtKeyFile: "/var/lib/ct-ops/jwt_key.pem",
    },
  });
  t.throws(() => interpolate(ingest.environment, {}), /\.env/, "says what is missing");
});

t.test("the platform's compose file runs this image with another image and the web app's secret", async (t) => {
  const override = (await readCompose("deploy/compose.platform.yaml")).services;
  t.same(Object.keys(override), ["ingest"], "nothing else of the platform is touched");
  t.same(Object.keys(override.ingest).sort(), [
    "build",
    "environment",
    "image",
    "pull_policy",
    "read_only",
    "stop_grace_period",
  ]);
  t.ok(PLATFORM.services.ingest.build);
  t.equal(override.ingest.build, RESET, "never is the earlier service built under this image's name");
  const before = PLATFORM.services.ingest.environment;
  for (const secret of ["LDAP_ENCRYPTION_KEY", "BETTER_AUTH_SECRET"]) {
    const environment = {
      ...(await imageEnvironment()),
      ...interpolate({ ...before, ...override.ingest.environment }, { [secret]: "of the web app" }),
    };
    t.match(parseConfig(environment), {
      warnings: [],
      config: {
        databaseUrl: before.DATABASE_URL,
        grpcPort: 9443,
        httpPort: 8080,
        work: { downloadBaseUrl: "http://localhost:3000" },
        agentCa: { encryptionSecret: "of the web app" },
      },
    });
  }
});

t.test("what the earlier service was started with", async (t) => {
  const env = {
    INGEST_DATABASE_URL: "postgres://earlier/db",
    INGEST_TLS_CERT: "c",
    INGEST_TLS_KEY: "k",
    BETTER_AUTH_SECRET: "s",
  };
  t.match(parseConfig(env), { warnings: [], config: { databaseUrl: "postgres://earlier/db" } });
  t.match(parseConfig({ ...env, DATABASE_URL: "postgres://wins/db" }), {
    config: { databaseUrl: "postgres://wins/db" },
  });
  t.match(parseConfig({ INGEST_DATABASE_URL: "nonsense://" }).warnings, []);

  for (const args of [
    ["-config", "/etc/ct-ops/ingest.yaml"],
    ["serve", "-config=/etc/ct-ops/ingest.yaml"],
  ]) {
    const lines: string[] = [];
    const code = await runCli(args, {
      env: {},
      user: "tester",
      signal: new AbortController().signal,
      secondSignal: new AbortController().signal,
      print: () => {},
      warn: (line) => lines.push(line),
      progress: () => {},
    });
    t.equal(code, 2);
    t.match(lines, [/YAML file of the earlier service is not read.*docs\/upgrade\.md/]);
  }
});
