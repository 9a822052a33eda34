import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import t from "tap";
import { needProgram } from "../support/programs.js";

const run = promisify(execFile);
const wget = await needProgram("wget");

t.test("the image's health check asks where the service listens", { skip: wget.skip }, async (t) => {
  const containerfile = await readFile(new URL("../../Containerfile", import.meta.url), "utf8");
  const [, check = ""] = /^HEALTHCHECK (?:.*\\\n)*? *CMD ((?:.*\\\n)*.*)$/m.exec(containerfile) ?? [];
  t.match(check, /wget/);
  const healthz = createServer((request, response) => {
    response.writeHead(request.url === "/healthz" ? 200 : 404).end("ok");
  });
  await new Promise<void>((resolve) => healthz.listen(0, "::", resolve));
  t.teardown(() => healthz.close());
  const { port } = healthz.address() as AddressInfo;
  // The image's own port, where another program may listen here.
  const script = check.replaceAll("\\\n", "").replaceAll("8080", `${port}`);
  const outcome = (env: Record<string, string>) =>
    run("/bin/sh", ["-c", script], { env: { PATH: process.env.PATH, ...env } }).then(
      ({ stdout }) => stdout,
      () => "unhealthy",
    );
  t.equal(await outcome({}), "ok");
  t.equal(await outcome({ INGEST_HTTP_PORT: `${port}` }), "ok");
  t.equal(await outcome({ INGEST_HTTP_PORT: "tcp://10.0.0.1:8080" }), "ok", "made by Kubernetes for a Service");
  t.equal(await outcome({ INGEST_HTTP_PORT: `${port}`, INGEST_HTTP_ADDRESS: "127.0.0.1" }), "ok");
  t.equal(await outcome({ INGEST_HTTP_PORT: `${port}`, INGEST_HTTP_ADDRESS: "::1" }), "ok");
  t.equal(await outcome({ http_proxy: "http://127.0.0.1:9" }), "ok", "a proxy is for others");
  t.equal(await outcome({ INGEST_HTTP_PORT: "9" }), "unhealthy");
});
