import { availableParallelism } from "node:os";
import t from "tap";
import { brokerIn } from "../dist/config/broker.js";
import { parseConfig } from "../dist/config/config.js";
import { databaseUrlIn, readValidVariables } from "../dist/config/environment.js";

const ENV = {
  DATABASE_URL: "postgres://ingest:secret@db/ingest",
  INGEST_TLS_CERT: "server.crt",
  INGEST_TLS_KEY: "server.key",
  LDAP_ENCRYPTION_KEY: "secret",
};

function configOf(env: Record<string, string>) {
  const result = parseConfig({ ...ENV, ...env });
  if ("problems" in result) throw new Error(result.problems.join("\n"));
  return result.config;
}

function problemsOf(env: Record<string, string | undefined>): string[] {
  const result = parseConfig({ ...ENV, ...env });
  return "problems" in result ? result.problems : [];
}

const NUMBERS = {
  INGEST_GRPC_PORT: {
    least: 0,
    most: 65_535,
    unset: 9443,
    of: (env: Record<string, string>) => configOf(env).grpcPort,
  },
  INGEST_HTTP_PORT: {
    least: 0,
    most: 65_535,
    unset: 8080,
    of: (env: Record<string, string>) => configOf(env).httpPort,
  },
  INGEST_WORKERS: {
    least: 1,
    most: 64,
    unset: Math.min(availableParallelism(), 64),
    of: (env: Record<string, string>) => configOf(env).workers,
  },
  INGEST_COMMIT_DELAY: {
    least: 0,
    most: 1_000,
    unset: 100,
    of: (env: Record<string, string>) => configOf(env).sessions.commitDelayMs,
  },
  INGEST_DATABASE_POOL_SIZE: {
    least: 3,
    most: 1000,
    unset: 15,
    of: (env: Record<string, string>) => configOf(env).databasePoolSize,
  },
  INGEST_OUTBOX_MAX_ROWS: {
    least: 1_000,
    most: 100_000_000,
    unset: 500_000,
    of: (env: Record<string, string>) => configOf(env).outboxMaxRows,
  },
  INGEST_REGISTER_REFUSALS_PER_MINUTE: {
    least: 0,
    most: 1_000_000,
    unset: 60,
    of: (env: Record<string, string>) => configOf(env).enrolment.refusalsPerMinute,
  },
};

for (const [name, { least, most, unset, of }] of Object.entries(NUMBERS)) {
  t.test(`${name} is a whole number within bounds`, async (t) => {
    for (const blank of ["", " ", "\t\n"]) t.equal(of({ [name]: blank }), unset, "white space alone counts as not set");
    t.equal(of({ [name]: ` ${least} ` }), least);
    t.equal(of({ [name]: `${most}\n` }), most);
    const wrong = [
      least - 1,
      most + 1,
      "1.5",
      "1e3",
      "0x10",
      "-0",
      "+5",
      "5 5",
      "Infinity",
      "NaN",
      "true",
      "9".repeat(400),
    ];
    for (const value of wrong.map(String)) {
      t.match(problemsOf({ [name]: value }), [new RegExp(`^${name}=.* is not valid; expected a `)], value);
    }
  });
}

t.test("no setting is changed by the space around it, and white space alone counts as not set", async (t) => {
  const plain = {
    ...ENV,
    INGEST_JWT_KEY_FILE: "/keys/jwt.pem",
    INGEST_AGENT_DOWNLOAD_BASE_URL: "https://ct-ops.example",
    INGEST_DUPLICATE_IGNORE_CIDRS: "10.0.0.0/8",
    INGEST_ADOPT_AUTO_APPROVE: "true",
    INGEST_LOG_LEVEL: "warn",
  };
  const padded = Object.entries(plain).map(([name, value]) => [
    name,
    name === "LDAP_ENCRYPTION_KEY" ? value : ` ${value}\n`,
  ]);
  t.same(parseConfig(Object.fromEntries(padded)), parseConfig(plain));

  const optional = Object.keys(plain).filter((name) => !(name in ENV));
  t.same(configOf(Object.fromEntries(optional.map((name) => [name, " "]))), configOf({}));
  t.match(problemsOf(Object.fromEntries(Object.keys(ENV).map((name) => [name, " "]))), [
    "DATABASE_URL is not set; expected a postgres:// URL",
    "INGEST_TLS_CERT is not set; expected the path of a PEM certificate (chain)",
    "INGEST_TLS_KEY is not set; expected the path of that certificate's PEM key",
    /^LDAP_ENCRYPTION_KEY is not set/,
  ]);
});

t.test("a secret is taken as it is, since the web app does the same", async (t) => {
  t.equal(configOf({ LDAP_ENCRYPTION_KEY: " a b " }).agentCa.encryptionSecret, " a b ");
  t.equal(configOf({ LDAP_ENCRYPTION_KEY: " ", BETTER_AUTH_SECRET: "other" }).agentCa.encryptionSecret, "other");
});

t.test(
  "DATABASE_URL wins over INGEST_DATABASE_URL, and a problem names the one that counts, not what it holds",
  async (t) => {
    t.equal(databaseUrlIn({ DATABASE_URL: " ", INGEST_DATABASE_URL: " postgres://b " }), "postgres://b");
    t.equal(databaseUrlIn({ DATABASE_URL: "postgres://a", INGEST_DATABASE_URL: "postgres://b" }), "postgres://a");
    t.equal(databaseUrlIn({ DATABASE_URL: "", INGEST_DATABASE_URL: "\n" }), undefined);

    const wrong = "postgres://u:hunter2@db/x?sslmod=require&sslmode=strict";
    const described = [
      "sslmod is not a parameter this service knows",
      "sslmode is none of disable, allow, prefer, require, verify-ca, verify-full",
    ];
    t.same(
      problemsOf({ DATABASE_URL: wrong }),
      described.map((text) => `DATABASE_URL is not valid: ${text}`),
    );
    t.same(
      problemsOf({ DATABASE_URL: undefined, INGEST_DATABASE_URL: wrong }),
      described.map((text) => `INGEST_DATABASE_URL is not valid: ${text}`),
    );
    t.same(parseConfig({ ...ENV, DATABASE_URL: "postgres://u@db/x?pgbouncer=true" }).warnings, [
      "DATABASE_URL: pgbouncer is ignored",
    ]);
  },
);

t.test("what Kubernetes sets for a Service of the same name is no setting, and there is one hint", async (t) => {
  const links = {
    INGEST_SERVICE_HOST: "10.43.0.7",
    INGEST_SERVICE_PORT: "9443",
    INGEST_SERVICE_PORT_GRPC: "9443",
    INGEST_PORT: "tcp://10.43.0.7:9443",
    INGEST_PORT_9443_TCP: "tcp://10.43.0.7:9443",
    INGEST_PORT_9443_TCP_PROTO: "tcp",
    INGEST_PORT_9443_TCP_PORT: "9443",
    INGEST_PORT_9443_TCP_ADDR: "10.43.0.7",
    // Of Services called ingest-grpc and ingest-http.
    INGEST_GRPC_PORT: "tcp://10.43.0.8:9443",
    INGEST_HTTP_PORT: "tcp://[fd00::8]:8080",
    INGEST_HTTP_SERVICE_HOST: "fd00::8",
  };
  const result = parseConfig({ ...ENV, ...links });
  t.match(result, { config: { grpcPort: 9443, httpPort: 8080 } });
  t.same(result.warnings, [
    "INGEST_SERVICE_HOST and 10 more: made by Kubernetes for a Service of that name, and ignored; " +
      "`enableServiceLinks: false` in the pod's spec leaves them out",
  ]);
  t.match(readValidVariables({ ...ENV, ...links }), { INGEST_GRPC_PORT: 9443 });
  t.match(
    parseConfig({ ...ENV, INGEST_PORT: "9443" }).warnings,
    [/^INGEST_PORT is not a variable/],
    "somebody's mistake",
  );
  t.match(problemsOf({ INGEST_GRPC_PORT: "http://10.43.0.8:9443" }), [/INGEST_GRPC_PORT=.* a port number/]);
});

t.test("balancers that are named and not listened to", async (t) => {
  const env = { ...ENV, INGEST_TRUSTED_PROXIES: "192.0.2.0/24" };
  t.same(parseConfig(env).warnings, [
    "INGEST_TRUSTED_PROXIES is set and INGEST_PROXY_PROTOCOL is not true: no PROXY header is taken",
  ]);
  t.same(parseConfig({ ...env, INGEST_PROXY_PROTOCOL: "true" }).warnings, []);
});

t.test("the broker", async (t) => {
  t.equal(configOf({}).broker, undefined);
  t.equal(configOf({ INGEST_AMQP_EXCHANGE: "x" }).broker, undefined);
  t.match(configOf({ INGEST_AMQP_URL: "amqp://a, amqps://u:p@b/v" }).broker, {
    addresses: [{ hostname: "a" }, { hostname: "b", vhost: "v", username: "u" }],
    tls: {},
    topology: { exchange: "ct-ops", declare: true, maxLength: 1_000_000, maxBytes: 0 },
  });
  const all = {
    INGEST_AMQP_URL: "amqps://b",
    INGEST_AMQP_EXCHANGE: "other",
    INGEST_AMQP_DECLARE: "false",
    INGEST_AMQP_QUEUE_TYPE: "classic",
    INGEST_AMQP_QUEUE_MAX_LENGTH: "0",
    INGEST_AMQP_QUEUE_MAX_BYTES: "1000",
    INGEST_AMQP_CA: "ca.crt",
    INGEST_AMQP_CERT: "client.crt",
    INGEST_AMQP_KEY: "client.key",
  };
  t.match(configOf(all).broker, {
    tls: { caFile: "ca.crt", client: { certFile: "client.crt", keyFile: "client.key" } },
    topology: { exchange: "other", declare: false, queueType: "classic", maxLength: 0, maxBytes: 1_000 },
  });
  t.same(brokerIn(all), configOf(all).broker, "also when nothing else is set");

  const problem = "INGEST_AMQP_URL is not valid: a % in it is not followed by two hexadecimal digits";
  const wrong = { INGEST_AMQP_URL: "amqp://u:secret%@b" };
  t.match(problemsOf(wrong), [new RegExp(`^${problem}`)], "never with the password");
  t.throws(() => brokerIn(wrong), { message: new RegExp(`^${problem}`) });
  t.match(problemsOf({ ...all, INGEST_AMQP_KEY: "" }), [/^INGEST_AMQP_KEY is not set; expected both or neither/]);
  for (const exchange of ["amq.topic", "a b", "x".repeat(201)]) {
    t.match(problemsOf({ INGEST_AMQP_EXCHANGE: exchange }), [/^INGEST_AMQP_EXCHANGE=/]);
  }
});
