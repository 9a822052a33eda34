import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import type { Test } from "tap";
import { eventually } from "./eventually.js";
import { freePort } from "./free-port.js";
import { firstExisting } from "./programs.js";
import { makeDirectory } from "./service.js";

/** Where a balancer's own connections come from, so that they can be told from those of agents on this machine. */
export const BALANCER_ADDRESS = "127.0.0.2";

/** Where Debian has what nginx balances TCP with; elsewhere it may be built in. */
const NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

/** An instance behind a balancer. */
export interface BalancedInstance {
  grpcPort: number;
  httpPort: number;
}

/** A HAProxy that runs. */
export interface HaProxy {
  /** For each way to send the PROXY header, and to check the instances, a port. */
  ports: Record<"v1" | "v2" | "v2WithTlsCheck", number>;
  /** What the checks of the instances of each of them came to last, such as `L7OK`. */
  checks(): Promise<Record<keyof HaProxy["ports"], string[]>>;
}

/** Starts a HAProxy in front of these instances; it ends with the test. */
export async function startHaproxy(t: Test, program: string, instances: readonly BalancedInstance[]): Promise<HaProxy> {
  const directory = await makeDirectory(t);
  const socketPath = join(directory, "haproxy.sock");
  const file = join(directory, "haproxy.cfg");
  const ports = { v1: await freePort(), v2: await freePort(), v2WithTlsCheck: await freePort() };
  const listen = (
    name: keyof typeof ports,
    options: readonly string[],
    check: (instance: BalancedInstance) => string,
  ) =>
    [
      `listen ${name}`,
      `  bind 127.0.0.1:${ports[name]}`,
      ...options.map((option) => `  ${option}`),
      ...instances.map(
        (instance, index) => `  server instance${index} 127.0.0.1:${instance.grpcPort} ${check(instance)}`,
      ),
    ].join("\n");
  const config = `
global
  stats socket ${socketPath}
defaults
  mode tcp
  timeout connect 2s
  timeout client 1m
  timeout server 1m
  option redispatch
  source ${BALANCER_ADDRESS}
  timeout check 10s
  default-server inter 50ms
${listen("v1", [], () => "send-proxy check")}
${listen("v2", ["option httpchk GET /readyz"], ({ httpPort }) => `send-proxy-v2 check port ${httpPort}`)}
# A handshake has to be done within the interval.
${listen("v2WithTlsCheck", [], () => "send-proxy-v2 check check-ssl verify none inter 2s fastinter 50ms downinter 50ms")}
`;
  await writeFile(file, config);
  await runBalancer(t, program, ["-db", "-f", file], ports.v1);
  return {
    ports,
    checks: async () => {
      const socket = connect(socketPath);
      socket.end("show stat\n");
      let text = "";
      for await (const piece of socket) text += piece;
      const [head = "", ...lines] = text.trim().split("\n");
      const column = head.split(",").indexOf("check_status");
      const rows = lines.map((line) => line.split(","));
      const of = (name: string) =>
        rows
          .filter(([list, server]) => list === name && server?.startsWith("instance"))
          .map((row) => row[column] ?? "");
      return { v1: of("v1"), v2: of("v2"), v2WithTlsCheck: of("v2WithTlsCheck") };
    },
  };
}

/**
 * Starts an nginx in front of these instances; it ends with the test.
 *
 * @returns its port
 */
export async function startNginx(t: Test, program: string, instances: readonly BalancedInstance[]): Promise<number> {
  const directory = await makeDirectory(t);
  const port = await freePort();
  const file = join(directory, "nginx.conf");
  const module = await firstExisting([NGINX_STREAM_MODULE]);
  const config = `
${module === undefined ? "" : `load_module ${module};`}
daemon off;
# What ends is then all of it.
master_process off;
pid ${join(directory, "nginx.pid")};
events {}
stream {
  upstream agents {
    ${instances.map(({ grpcPort }) => `server 127.0.0.1:${grpcPort};`).join("\n    ")}
  }
  server {
    listen 127.0.0.1:${port};
    proxy_pass agents;
    proxy_protocol on;
    proxy_bind ${BALANCER_ADDRESS};
    proxy_timeout 1m;
  }
}
`;
  await writeFile(file, config);
  await runBalancer(t, program, ["-e", "stderr", "-p", directory, "-c", file], port);
  return port;
}

async function runBalancer(t: Test, program: string, args: readonly string[], port: number): Promise<void> {
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const ended = once(child, "exit");
  t.teardown(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  await eventually(
    async () => {
      if (child.exitCode !== null) throw new Error(`${program} ended: ${errors}`);
      return isOpen(port);
    },
    (isListening) => isListening,
  );
}

function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}
