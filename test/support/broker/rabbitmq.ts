import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { findProgram, firstExisting } from "../programs.js";

const START_TIMEOUT_MS = 60_000;
const START_ATTEMPTS = 3;
/** Debian's `rabbitmq-server` is a wrapper that changes to the user and the directories of the system's broker. */
const BEHIND_DEBIANS_WRAPPER = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/** How a private broker is started. */
export interface PrivateRabbitMqOptions {
  /** Everything of it is kept there. */
  directory: string;
  /** Further lines of rabbitmq.conf. */
  config?: readonly string[];
  plugins?: readonly string[];
  /** PEM files with which it also listens for TLS. */
  tls?: { caFile: string; certFile: string; keyFile: string };
}

/** A RabbitMQ of one's own: free ports, own node, cookie, data directory and port mapper. */
export interface PrivateRabbitMq {
  /** The AMQP URL; the same after {@link PrivateRabbitMq.start}. */
  readonly url: string;
  /** The AMQP URL with TLS, if it listens for that. */
  readonly tlsUrl: string;
  /** Starts it again, with what it had on disk. */
  start(): Promise<void>;
  /** Stops the broker; with SIGKILL without a goodbye. */
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Runs rabbitmqctl. */
  control(...args: string[]): Promise<string>;
  /** Stops everything that was started. */
  close(): Promise<void>;
}

/** Finds a `rabbitmq-server` that can be started by anybody; undefined when there is none. */
export async function findRabbitMq(): Promise<string | undefined> {
  const found = await findProgram("rabbitmq-server");
  return found && ((await firstExisting([BEHIND_DEBIANS_WRAPPER])) ?? found);
}

/**
 * Starts a RabbitMQ. One that runs already is not touched. It is in the process group of whoever starts it.
 *
 * @param server as {@link findRabbitMq} found it
 */
export async function startPrivateRabbitMq(server: string, options: PrivateRabbitMqOptions): Promise<PrivateRabbitMq> {
  for (let attempt = 1; ; attempt++) {
    const broker = new Broker(server, options, await findPorts());
    try {
      await broker.open();
      return broker;
    } catch (error) {
      await broker.close();
      if (attempt === START_ATTEMPTS || !/eaddrinuse|already in use/i.test(String(error))) throw error;
    }
  }
}

interface Ports {
  amqp: number;
  tls: number;
  distribution: number;
  /** Of epmd, which tells Erlang's nodes from each other. */
  mapper: number;
}

class Broker implements PrivateRabbitMq {
  #mapper: ChildProcess | undefined;
  #server: ChildProcess | undefined;

  constructor(
    private readonly serverPath: string,
    private readonly options: PrivateRabbitMqOptions,
    private readonly ports: Ports,
  ) {}

  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.ports.amqp}`;
  }

  get tlsUrl(): string {
    return `amqps://guest:guest@localhost:${this.ports.tls}`;
  }

  async open(): Promise<void> {
    const { directory, config = [], plugins = [], tls } = this.options;
    const { amqp, tls: tlsPort, mapper } = this.ports;
    await mkdir(join(directory, "home"), { recursive: true });
    const lines = [
      `listeners.tcp.1 = 127.0.0.1:${amqp}`,
      "log.console = true",
      "disk_free_limit.absolute = 1MB",
      "loopback_users = none",
      ...(tls
        ? [
            `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
            `ssl_options.cacertfile = ${tls.caFile}`,
            `ssl_options.certfile = ${tls.certFile}`,
            `ssl_options.keyfile = ${tls.keyFile}`,
          ]
        : []),
      ...config,
    ];
    await writeFile(join(directory, "rabbitmq.conf"), `${lines.join("\n")}\n`);
    await writeFile(join(directory, "enabled_plugins"), `[${plugins.join(",")}].\n`);
    await writeFile(join(directory, "rabbitmq-env.conf"), "");
    this.#mapper = spawn("epmd", ["-port", String(mapper), "-address", "127.0.0.1"], { stdio: "ignore" });
    this.#mapper.on("error", () => {});
    await this.start();
  }

  async start(): Promise<void> {
    const server = spawn(this.serverPath, [], { env: this.#env(), stdio: ["ignore", "pipe", "pipe"] });
    this.#server = server;
    let output = "";
    let timer: NodeJS.Timeout | undefined;
    const started = new Promise<void>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`RabbitMQ ${why}: ${output.slice(-2_000)}`));
      timer = setTimeout(() => fail(`did not start within ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
      const read = (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-10_000);
        if (/completed with \d+ plugins/.test(output)) resolve();
      };
      server.stdout.on("data", read);
      server.stderr.on("data", read);
      server.once("error", (error) => fail(error.message));
      server.once("exit", () => fail("ended"));
    });
    await started.finally(() => clearTimeout(timer));
  }

  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    await end(this.#server, signal);
    this.#server = undefined;
  }

  async control(...args: string[]): Promise<string> {
    const program = join(dirname(this.serverPath), "rabbitmqctl");
    const { stdout } = await promisify(execFile)(program, ["-q", "-n", this.#node, ...args], { env: this.#env() });
    return stdout;
  }

  async close(): Promise<void> {
    await this.stop("SIGKILL");
    await end(this.#mapper, "SIGKILL");
  }

  get #node(): string {
    return `ct-ops-ingest-${this.ports.amqp}@localhost`;
  }

  #env(): Record<string, string | undefined> {
    const { directory } = this.options;
    const { distribution, mapper } = this.ports;
    return {
      PATH: process.env.PATH,
      // The Erlang cookie is there.
      HOME: join(directory, "home"),
      LANG: "C.UTF-8",
      ERL_EPMD_PORT: String(mapper),
      ERL_EPMD_ADDRESS: "127.0.0.1",
      RABBITMQ_NODENAME: this.#node,
      RABBITMQ_DIST_PORT: String(distribution),
      RABBITMQ_CONF_ENV_FILE: join(directory, "rabbitmq-env.conf"),
      RABBITMQ_CONFIG_FILE: join(directory, "rabbitmq.conf"),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, "enabled_plugins"),
      RABBITMQ_MNESIA_BASE: join(directory, "data"),
      RABBITMQ_LOG_BASE: join(directory, "log"),
      RABBITMQ_LOGS: "-",
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
      // The script becomes Erlang instead of watching it: what is killed is the broker.
      RUNNING_UNDER_SYSTEMD: "true",
    };
  }
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}

/** Ports that nobody uses at the moment. */
async function findPorts(): Promise<Ports> {
  const listeners = { amqp: createServer(), tls: createServer(), distribution: createServer(), mapper: createServer() };
  const ports = { amqp: 0, tls: 0, distribution: 0, mapper: 0 };
  for (const name of Object.keys(ports) as (keyof Ports)[]) {
    await once(listeners[name].listen(0, "127.0.0.1"), "listening");
    ports[name] = (listeners[name].address() as { port: number }).port;
  }
  for (const listener of Object.values(listeners)) await once(listener.close(), "close");
  return ports;
}
