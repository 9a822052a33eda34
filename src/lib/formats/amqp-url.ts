/** Where a RabbitMQ broker is, and who asks. */
export interface AmqpAddress {
  protocol: "amqp" | "amqps";
  hostname: string;
  port: number;
  vhost: string;
  username: string;
  password: string;
  /** Whether the URL names a user; otherwise it is the broker's default one. */
  hasCredentials: boolean;
  /** Seconds between heartbeats, at most. */
  heartbeatS: number;
}

const DEFAULT_HEARTBEAT_S = 20;

/**
 * Reads an AMQP URL (rabbitmq.com/docs/uri-spec). amqplib's own reading takes a percent-encoded password for Latin-1.
 *
 * @throws Error whose message says what is wrong, without the credentials
 */
export function parseAmqpUrl(text: string): AmqpAddress {
  if (!URL.canParse(text)) throw new Error("it is no URL; percent-encode special characters of the password");
  const url = new URL(text);
  const protocol = url.protocol.slice(0, -1);
  if (protocol !== "amqp" && protocol !== "amqps") throw new Error("it must begin with amqp:// or amqps://");
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  if (hostname === "") throw new Error("it names no host");
  // It ends a password with a / or a ? in it, and the "host" is its beginning: nothing of it is told.
  if (`${url.pathname}${url.search}${url.hash}`.includes("@"))
    throw new Error("there is an @ after the host; percent-encode special characters of the password");
  const path = url.pathname.slice(1);
  if (path.includes("/")) throw new Error("a / in the name of the virtual host is written %2F");
  const { heartbeat, ...others } = Object.fromEntries(url.searchParams);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new Error(`its parameter ${unknown} is not understood; heartbeat is`);
  if (heartbeat !== undefined && !/^[1-9]\d{0,3}$/.test(heartbeat)) {
    throw new Error("heartbeat is a number of seconds, from 1");
  }
  const hasCredentials = url.username !== "" || url.password !== "";
  return {
    protocol,
    hostname,
    port: url.port === "" ? (protocol === "amqp" ? 5672 : 5671) : Number(url.port),
    vhost: decode(path) || "/",
    username: hasCredentials ? decode(url.username) : "guest",
    password: hasCredentials ? decode(url.password) : "guest",
    hasCredentials,
    heartbeatS: heartbeat === undefined ? DEFAULT_HEARTBEAT_S : Number(heartbeat),
  };
}

/** The address as it may be shown: without credentials. */
export function describeAmqpAddress({ protocol, hostname, port, vhost }: AmqpAddress): string {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `${protocol}://${host}:${port}/${vhost === "/" ? "" : encodeURIComponent(vhost)}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error("a % in it is not followed by two hexadecimal digits; a % of the password is written %25");
  }
}
