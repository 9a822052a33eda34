import t from "tap";
import { type PostgresUrl, parsePostgresUrl } from "../../dist/lib/formats/postgres-url.js";

function urlOf(text: string): PostgresUrl {
  const result = parsePostgresUrl(text);
  if ("problems" in result) throw new Error(result.problems.join("; "));
  return result.url;
}

function problemsOf(text: string): string[] {
  const result = parsePostgresUrl(text);
  return "problems" in result ? result.problems : [];
}

const local = { host: "localhost", port: 5432 };

t.test("hosts: names, addresses, sockets, lists", async (t) => {
  const hosts: Record<string, PostgresUrl["hosts"]> = {
    "postgres://": [local],
    "postgresql://db": [{ host: "db", port: 5432 }],
    "postgres://u@db:6432/x": [{ host: "db", port: 6432 }],
    "postgres://[::1]/x": [{ host: "::1", port: 5432 }],
    "postgres://u:p@[2001:db8::1]:6432/x": [{ host: "2001:db8::1", port: 6432 }],
    "postgres://[fe80::1%25eth0]:1/x": [{ host: "fe80::1%eth0", port: 1 }],
    "postgres://%2Fvar%2Frun%2Fpostgresql/x": [{ host: "/var/run/postgresql", port: 5432 }],
    "postgres://u@%2Ftmp:6432/x": [{ host: "/tmp", port: 6432 }],
    "postgres:///x?host=/var/run/postgresql": [{ host: "/var/run/postgresql", port: 5432 }],
    "postgres://u@/x?host=/cloudsql/project:region:name&port=6432": [
      { host: "/cloudsql/project:region:name", port: 6432 },
    ],
    "postgres://u@:6432/x?host=/tmp": [{ host: "/tmp", port: 6432 }],
    "postgres://a:1,b:2,[::1]:3/x": [
      { host: "a", port: 1 },
      { host: "b", port: 2 },
      { host: "::1", port: 3 },
    ],
    "postgres://a,b/x?port=6432": [
      { host: "a", port: 6432 },
      { host: "b", port: 6432 },
    ],
    "postgres:///x?host=a,b&port=1,2": [
      { host: "a", port: 1 },
      { host: "b", port: 2 },
    ],
    "postgres://a,b:2/x": [
      { host: "a", port: 5432 },
      { host: "b", port: 2 },
    ],
  };
  for (const [text, expected] of Object.entries(hosts)) t.same(urlOf(text).hosts, expected, text);
  for (const text of ["postgres://a:0/x", "postgres://a:65536/x", "postgres://a:x/x", "postgres://2001:db8::1/x"]) {
    t.match(problemsOf(text), [/^a port is not a number from 1 to 65535/], text);
  }
});

t.test("user, password and database: encoded, and as they are typed", async (t) => {
  const parts: Record<string, (string | undefined)[]> = {
    "postgres://db": [undefined, undefined, undefined],
    "postgres://u@db": ["u", undefined, undefined],
    "postgres://u:@db/": ["u", undefined, undefined],
    "postgres://u:p@db/x": ["u", "p", "x"],
    "postgres://u%40corp:p%40%2F%3A%3F%23%25%20%C3%A4@db/my%20db": ["u@corp", "p@/:?#% ä", "my db"],
    "postgres://u:p@ss:w#rd%@db/x": ["u", "p@ss:w#rd%", "x"],
    "postgres://u:50%zz@db/x": ["u", "50%zz", "x"],
    "postgres://db/x?user=u&password=p%26q&dbname=y": ["u", "p&q", "y"],
  };
  for (const [text, [user, password, database]] of Object.entries(parts)) {
    t.match(urlOf(text), { user, password, database }, text);
  }
  for (const text of ["postgres://u:a/b@db/x", "postgres://u:12/34@db/x", "postgres://u:a?b@db/x"]) {
    const problems = problemsOf(text);
    t.match(problems.join("; "), /in a user or password \/ is written %2F/, text);
    t.notMatch(problems.join("; "), /12|34|a\?b/, "which is not shown");
  }
  t.match(problemsOf("postgres://u:%E4@db/x"), ["the password is not percent-encoded UTF-8"]);
});

t.test("parameters", async (t) => {
  const given = (query: string) => urlOf(`postgres://u@db/x?${query}`);
  t.match(given(""), { sslMode: "allow", target: "any", channelBinding: false, options: { settings: {} } });
  for (const mode of ["disable", "allow", "prefer", "require", "verify-full"]) {
    t.equal(given(`sslmode=${mode}`).sslMode, mode);
  }
  t.equal(given("sslmode=no-verify").sslMode, "require");
  t.equal(given("ssl=true").sslMode, "verify-full");
  t.equal(given("ssl=false").sslMode, "disable");
  t.match(given("sslmode=verify-ca&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem"), {
    sslMode: "verify-ca",
    sslRootCert: "/ca.pem",
    sslCert: "/c.pem",
    sslKey: "/k.pem",
  });
  t.match(given("application_name=a%20b&connect_timeout=7&channel_binding=prefer"), {
    applicationName: "a b",
    connectTimeoutMs: 7000,
    channelBinding: true,
  });
  t.equal(given("connect_timeout=0").connectTimeoutMs, undefined);
  t.equal(given("target_session_attrs=primary").target, "primary");
  t.equal(urlOf("postgres://a,b/x").target, "read-write", "of several servers one can be written to");
  t.equal(urlOf("postgres://a,b/x?target_session_attrs=any").target, "any");

  t.same(given("options=-c%20Statement_Timeout%3D5s%20-cwork_mem=4MB%20--lock-timeout=1s").options, {
    settings: { statement_timeout: "5s", work_mem: "4MB", lock_timeout: "1s" },
  });
  t.same(given("options=-c%20search_path%3Da,%5C%20b").options, { settings: { search_path: "a, b" } });
  t.same(
    given("options=endpoint%3Dep-cool-1").options,
    { text: "endpoint=ep-cool-1" },
    "for a proxy, not for PostgreSQL",
  );

  const problems: Record<string, RegExp> = {
    "sslmode=on": /^sslmode is none of disable, /,
    "ssl=maybe": /^ssl is neither true nor false$/,
    "sslmode=verify-ca": /^sslmode=verify-ca needs sslrootcert/,
    "sslcert=/c.pem": /^sslcert and sslkey go together/,
    "target_session_attrs=standby": /^target_session_attrs is none of any, read-write, primary/,
    "connect_timeout=soon": /^connect_timeout is not a number of seconds/,
    "ssl_mode=require": /^ssl_mode is not a parameter this service knows$/,
  };
  for (const [query, problem] of Object.entries(problems))
    t.match(problemsOf(`postgres://db/x?${query}`), [problem], query);
});

t.test("a password that is not encoded is not told, wherever it ends", (t) => {
  for (const password of [
    "s3c/ret",
    "s3c?ret",
    "s3c?ret=1",
    "s3c?a&ret",
    "/s3cret",
    "?s3cret",
    "s3c/r?et",
    "s3c?r/et",
  ]) {
    t.match(problemsOf(`postgres://u:${password}@db/x`), [/^there is an @ after the host; [^s]*/], password);
    t.notMatch(problemsOf(`postgres://u:${password}@db/x`).join(), /s3c|\bret\b/, password);
    t.notMatch(problemsOf(`postgres://u:${password}@db:5432/x?sslmode=on`).join(), /s3c|\bret\b/, password);
  }
  t.end();
});

t.test("what other drivers take is ignored, and named; what is no URL of PostgreSQL is refused", async (t) => {
  const { warnings } = parsePostgresUrl(
    "postgres://db/x?schema=public&pool_max_conns=9&keepalives_idle=5&sslmode=disable",
  );
  t.same(warnings, ["schema is ignored", "pool_max_conns is ignored", "keepalives_idle is ignored"]);
  for (const text of ["", "db", "mysql://db/x", "host=db user=u", '"postgres://db/x"', "postgres:/db", "http://db"]) {
    t.match(problemsOf(text), ["it does not begin with postgres:// or postgresql://"], text);
  }
});

t.test("control characters are refused, and what they are in is named", async (t) => {
  const urls: Record<string, string> = {
    "postgres://u%00@db/x": "the user",
    "postgres://u:geheim%00@db/x": "the password",
    "postgres://u:geheim%0A@db/x": "the password",
    "postgres://u@d%1Bb/x": "the host",
    "postgres://u@db/x%00": "the database",
    "postgres://u@db/x\u0085": "the database",
    ...Object.fromEntries(
      ["user", "password", "dbname", "host", "sslrootcert", "application_name", "options"].map((name) => [
        `postgres://u@db/x?${name}=a%00b`,
        name,
      ]),
    ),
  };
  for (const [text, what] of Object.entries(urls)) {
    t.same(problemsOf(text), [`${what} has a control character in it`], JSON.stringify(text));
  }
  t.match(problemsOf("postgres://u@db/x?sslmode=require%00"), ["sslmode has a control character in it"]);
});
