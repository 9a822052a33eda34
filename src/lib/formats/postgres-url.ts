import { parseServerOptions, type ServerOptions } from "./postgres-options.js";

/** How the connection is protected, as libpq knows it; `allow` where the URL does not say. */
export type SslMode = (typeof SSL_MODES)[number];

const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
/** Names that Node's drivers have for some of them. */
const SSL_MODE_ALIASES: Readonly<Record<string, SslMode>> = { "no-verify": "require" };
const SSL_SWITCH: Readonly<Record<string, SslMode>> = {
  true: "verify-full",
  "1": "verify-full",
  "no-verify": "require",
  false: "disable",
  "0": "disable",
};

/** A server that a URL names. */
export interface PostgresHost {
  /** A name or address; with a `/` at its beginning the directory of a Unix socket. */
  host: string;
  port: number;
}

/** What a connection URL says. What it leaves out is undefined. */
export interface PostgresUrl {
  /** At least one; they are tried in this order. */
  hosts: readonly PostgresHost[];
  user: string | undefined;
  password: string | undefined;
  database: string | undefined;
  sslMode: SslMode;
  /** Path of the PEM certificates that the server's is checked against; `system` stands for those Node knows. */
  sslRootCert: string | undefined;
  /** Paths of the client's own PEM certificate and key. */
  sslCert: string | undefined;
  sslKey: string | undefined;
  channelBinding: boolean;
  /** Whether a server that only reads will do. */
  target: "any" | "read-write" | "primary";
  applicationName: string | undefined;
  connectTimeoutMs: number | undefined;
  options: ServerOptions;
}

/** A URL, or every problem it has; and what of it is ignored. Neither holds a secret. */
export type PostgresUrlResult = { warnings: string[] } & ({ url: PostgresUrl } | { problems: string[] });

const DEFAULT_PORT = 5432;
const LARGEST_PORT = 65_535;
const ENCODE = "in a user or password / is written %2F, : %3A, @ %40, ? %3F";
const UNDERSTOOD = new Set(
  (
    "host port user password dbname sslmode ssl sslrootcert sslcert sslkey channel_binding target_session_attrs " +
    "application_name connect_timeout options"
  ).split(" "),
);
/** What other drivers take, or what is settled here in any case: none of it changes where or how safely one connects. */
const IGNORED =
  /^(fallback_application_name|client_encoding|gssencmode|keepalives(_idle|_interval|_count)?|tcp_user_timeout|load_balance_hosts|sslsni|sslcompression|uselibpqcompat|schema|pgbouncer|connection_limit|pool_\w+|statement_cache_\w+|default_query_exec_mode|prepareThreshold|binary_parameters)$/;

/**
 * Reads a `postgres://` URL as libpq does: `postgres://[user[:password]@][host[:port][,…]][/database][?name=value&…]`.
 * What libpq refuses and other drivers take is taken as well, where it can only mean one thing.
 */
export function parsePostgresUrl(text: string): PostgresUrlResult {
  const [, scheme, authority = "", path = "", query = ""] =
    /^([a-z]+):\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(text) ?? [];
  if (scheme !== "postgres" && scheme !== "postgresql") {
    return { warnings: [], problems: ["it does not begin with postgres:// or postgresql://"] };
  }
  const problems: string[] = [];
  const parameters = parseParameters(query, problems);
  const warnings = [...parameters.keys()].filter((name) => IGNORED.test(name)).map((name) => `${name} is ignored`);
  if (parameters.get("channel_binding") === "require") warnings.push("channel_binding=require is taken for prefer");
  const unknown = [...parameters.keys()].filter((name) => !UNDERSTOOD.has(name) && !IGNORED.test(name));
  // A password with a / or a ? in it ends at that @, and the "host" is its beginning: nothing of it is told.
  if (path.includes("@") || (unknown.length > 0 && query.includes("@")))
    return { warnings: [], problems: [`there is an @ after the host; ${ENCODE}`] };
  problems.push(...unknown.map((name) => `${name} is not a parameter this service knows`));

  // As browsers and Go read it: a password may hold an @ that was not encoded.
  const at = authority.lastIndexOf("@");
  const [userText, ...passwordTexts] = at < 0 ? [""] : authority.slice(0, at).split(":");
  const hosts = parseHosts(authority.slice(at + 1), parameters, problems);
  const url: PostgresUrl = {
    hosts,
    user: parameters.get("user") || decode(userText ?? "", "the user", problems) || undefined,
    password: parameters.get("password") || decode(passwordTexts.join(":"), "the password", problems) || undefined,
    database: parameters.get("dbname") || decode(path, "the database", problems) || undefined,
    sslMode: parseSslMode(parameters, problems),
    sslRootCert: parameters.get("sslrootcert") || undefined,
    sslCert: parameters.get("sslcert") || undefined,
    sslKey: parameters.get("sslkey") || undefined,
    channelBinding: ["prefer", "require"].includes(parameters.get("channel_binding") ?? ""),
    target: parseTarget(parameters, hosts.length, problems),
    applicationName: parameters.get("application_name") || undefined,
    connectTimeoutMs: parseConnectTimeout(parameters, problems),
    options: parseServerOptions(parameters.get("options") ?? ""),
  };
  problems.push(...sslFileProblems(url));
  return problems.length > 0 ? { warnings, problems } : { warnings, url };
}

function parseParameters(query: string, problems: string[]): Map<string, string> {
  const pairs = query.split("&").filter((pair) => pair !== "");
  return new Map(
    pairs.map((pair) => {
      const [name = "", ...value] = pair.split("=");
      return [name, decode(value.join("="), name, problems)];
    }),
  );
}

/**
 * A % that no two hexadecimal digits follow stands for itself: passwords are written like that. Control characters come of
 * a mistake, such as a line break at the end of a file; and what PostgreSQL is told at the beginning ends at a NUL.
 */
function decode(text: string, what: string, problems: string[]): string {
  try {
    const decoded = decodeURIComponent(text.replace(/%(?![0-9a-f]{2})/gi, "%25"));
    if (/\p{Cc}/u.test(decoded)) problems.push(`${what} has a control character in it`);
    return decoded;
  } catch {
    problems.push(`${what} is not percent-encoded UTF-8`);
    return "";
  }
}

/** Hosts, and ports, stand before the path or in parameters, which win; each may be a list. */
function parseHosts(list: string, parameters: ReadonlyMap<string, string>, problems: string[]): PostgresHost[] {
  const written = list.split(",").map((text) => splitPort(text, problems));
  const hosts = parameters.get("host")?.split(",") ?? written.map(({ host }) => host);
  const ports = parameters.get("port")?.split(",") ?? written.map(({ port }) => port);
  return hosts.map((host, index) => {
    // One port is the port of all.
    const port = (ports.length === 1 ? ports[0] : ports[index]) || String(DEFAULT_PORT);
    if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > LARGEST_PORT) {
      problems.push(`a port is not a number from 1 to ${LARGEST_PORT}; ${ENCODE}`);
    }
    return { host: host || "localhost", port: Number(port) };
  });
}

/** `host`, `host:port`, `[IPv6]:port`, or the directory of a socket, whose slashes are encoded. */
function splitPort(text: string, problems: string[]): { host: string; port: string } {
  const [, address, name = "", port = ""] = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/s.exec(text) ?? [];
  return { host: decode(address ?? name, "the host", problems), port };
}

function parseSslMode(parameters: ReadonlyMap<string, string>, problems: string[]): SslMode {
  const mode = parameters.get("sslmode");
  const onOrOff = parameters.get("ssl");
  const found =
    mode === undefined
      ? onOrOff === undefined
        ? "allow"
        : SSL_SWITCH[onOrOff]
      : (SSL_MODES.find((known) => known === mode) ?? SSL_MODE_ALIASES[mode]);
  if (found !== undefined) return found;
  problems.push(mode === undefined ? "ssl is neither true nor false" : `sslmode is none of ${SSL_MODES.join(", ")}`);
  return "verify-full";
}

function parseTarget(
  parameters: ReadonlyMap<string, string>,
  hosts: number,
  problems: string[],
): PostgresUrl["target"] {
  const text = parameters.get("target_session_attrs");
  // Of several servers only one can be written to, and this service writes.
  if (text === undefined) return hosts > 1 ? "read-write" : "any";
  if (text === "any" || text === "read-write" || text === "primary") return text;
  problems.push("target_session_attrs is none of any, read-write, primary (the service writes)");
  return "any";
}

function parseConnectTimeout(parameters: ReadonlyMap<string, string>, problems: string[]): number | undefined {
  const text = parameters.get("connect_timeout");
  if (text === undefined || text === "0") return undefined;
  if (!/^\d{1,4}$/.test(text)) problems.push("connect_timeout is not a number of seconds up to 9999");
  return Number(text) * 1000;
}

function sslFileProblems({ sslMode, sslRootCert, sslCert, sslKey }: PostgresUrl): string[] {
  const problems: string[] = [];
  if (sslMode === "verify-ca" && (sslRootCert === undefined || sslRootCert === "system")) {
    problems.push("sslmode=verify-ca needs sslrootcert, the path of a CA certificate (or use verify-full)");
  }
  if ((sslCert === undefined) !== (sslKey === undefined)) problems.push("sslcert and sslkey go together: set both");
  return problems;
}
