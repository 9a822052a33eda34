import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A service that runs in a process of its own. */
export interface ServiceProcess {
  pid: number;
  /** Of the RPC listener. */
  port: number;
  /** Of the plain listener. */
  httpPort: number;
  /** PEM of the CA that agents check the server certificate against. */
  ca: string;
  /** Ends it, and waits for that. */
  stop(): Promise<void>;
  /** Kills it: it has no time for anything. */
  kill(): Promise<void>;
}

/**
 * Starts `serve` with this environment, and waits until it is ready.
 *
 * @param nodeOptions what Node is started with besides
 */
export async function startService(
  env: Record<string, string>,
  nodeOptions: readonly string[] = [],
): Promise<ServiceProcess> {
  return startServer(env, [...nodeOptions, fileURLToPath(new URL("../../dist/main.js", import.meta.url)), "serve"]);
}

/** Starts anything that says it is ready as `serve` does, with these arguments of Node. */
export async function startServer(env: Record<string, string>, args: readonly string[]): Promise<ServiceProcess> {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const end = async (signal: NodeJS.Signals) => {
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  };
  let last = "";
  for await (const line of createInterface({ input: child.stdout })) {
    last = line;
    const { msg, grpcPort, httpPort } = JSON.parse(line);
    if (msg !== "ready") continue;
    child.stdout.resume();
    return {
      pid: child.pid ?? 0,
      port: grpcPort,
      httpPort,
      ca: await readFile(env.INGEST_TLS_CERT ?? "", "utf8"),
      stop: () => end("SIGTERM"),
      kill: () => end("SIGKILL"),
    };
  }
  throw new Error(`the service did not start: ${last}`);
}
