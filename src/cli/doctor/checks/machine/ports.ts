import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { proxyRule } from "../../../../config/proxy-rule.js";
import { VERSION } from "../../../../observe/version.js";
import type { ListenOptions } from "../../../../server/listen.js";
import { probeAgentPort, probePlainPort, probePort } from "../../../../server/probes/port-probe.js";
import { type Check, error, type Finding, ok, type Subject, warning } from "../../check.js";

const ANSWER_TIMEOUT_MS = 2_000;

/** The two ports: free, or a service's already, which is then looked at. */
export const portsCheck: Check = {
  name: "ports",
  run: async ({ variables }) => {
    const { INGEST_GRPC_PORT: grpcPort, INGEST_HTTP_PORT: httpPort } = variables;
    const { INGEST_GRPC_ADDRESS: grpcAddress, INGEST_HTTP_ADDRESS: httpAddress } = variables;
    const findings = [
      ...(await checkPort("INGEST_GRPC_PORT", { port: grpcPort, address: grpcAddress }, (on) =>
        findAgentService(on, variables),
      )),
      ...(await checkPort("INGEST_HTTP_PORT", { port: httpPort, address: httpAddress }, findPlainService)),
    ];
    if (grpcPort !== undefined && grpcPort !== 0 && grpcPort === httpPort) {
      findings.push(error(`agents and plain HTTP are both on ${grpcPort}`, "set INGEST_HTTP_PORT to another port"));
    }
    return findings;
  },
};

async function checkPort(
  name: string,
  { port, address }: { port: number | undefined; address: string | undefined },
  findService: (on: ListenOptions) => Promise<Finding[]>,
): Promise<Finding[]> {
  if (port === undefined) return [error(`${name} is not a port`, "set it to a number from 0 to 65535")];
  if (port === 0) return [ok(`${name}: a free one is taken`)];
  const problem = await probePort({ port, address });
  if (problem === undefined) return [ok(`${name}: ${port} is free`)];
  if (problem !== "in use")
    return [
      error(`${name}: ${port} cannot be listened on: ${problem}`, `choose another port, or give the right to it`),
    ];
  const found = await findService({ port, address });
  if (found.length > 0) return [ok(`${name}: the service answers on ${port}`), ...found];
  return [error(`${name}: another process listens on ${port}`, `end that process, or set ${name} to another port`)];
}

/** What the service shows agents, whatever has become of the files that it read. */
async function findAgentService(on: ListenOptions, variables: Subject["variables"]): Promise<Finding[]> {
  const served = await probeAgentPort({ ...on, isProxy: proxyRule(variables) }, ANSWER_TIMEOUT_MS);
  if (served === undefined) return [];
  const until = new Date(served.validTo);
  if (until.getTime() < Date.now()) {
    return [
      error(
        `the certificate that it shows expired on ${until.toISOString()}: no agent can connect`,
        "put a renewed one into INGEST_TLS_CERT and INGEST_TLS_KEY: it takes it within seconds, or its log says why not",
      ),
    ];
  }
  const inFile = await readCertificateFile(variables.INGEST_TLS_CERT);
  return inFile?.raw.equals(served.raw) === false
    ? [
        warning(
          "the certificate that it shows is not the one in INGEST_TLS_CERT",
          "it takes a new one within seconds: if this stays so, its log says why, or it is configured with other files",
        ),
      ]
    : [ok(`the certificate that it shows is good until ${until.toISOString()}`)];
}

/** A file that cannot be read is the finding of another check. */
async function readCertificateFile(path: string | undefined): Promise<X509Certificate | undefined> {
  if (path === undefined) return undefined;
  try {
    return new X509Certificate(await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
}

async function findPlainService(on: ListenOptions): Promise<Finding[]> {
  const service = await probePlainPort(on, ANSWER_TIMEOUT_MS);
  if (service === undefined) return [];
  const { version } = service;
  if (version === undefined)
    return [warning("it does not say its version", "is it the earlier service? See docs/upgrade.md")];
  return version === VERSION
    ? [ok(`it is version ${version}, as is this command`)]
    : [
        warning(
          `it is version ${version}, this command is ${VERSION}`,
          "start the service again to run the new version",
        ),
      ];
}
