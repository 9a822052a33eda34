import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { probePort, readServedCertificate } from "../../../server/port-probe.js";
import { type Check, error, type Finding, ok, type Subject } from "../check.js";

const ANSWER_TIMEOUT_MS = 2_000;

/** The two ports: free, or this service's already. */
export const portsCheck: Check = {
  name: "ports",
  run: async ({ variables }) => {
    const { INGEST_GRPC_PORT: grpcPort, INGEST_HTTP_PORT: httpPort } = variables;
    const findings = [
      await checkPort("INGEST_GRPC_PORT", grpcPort, (port) => servesCertificate(port, variables)),
      await checkPort("INGEST_HTTP_PORT", httpPort, servesKeySet),
    ];
    if (grpcPort !== undefined && grpcPort !== 0 && grpcPort === httpPort) {
      findings.push(error(`agents and plain HTTP are both on ${grpcPort}`, "set INGEST_HTTP_PORT to another port"));
    }
    return findings;
  },
};

async function checkPort(
  name: string,
  port: number | undefined,
  isService: (port: number) => Promise<boolean>,
): Promise<Finding> {
  if (port === undefined) return error(`${name} is not a port`, "set it to a number from 0 to 65535");
  if (port === 0) return ok(`${name}: a free one is taken`);
  const problem = await probePort(port);
  if (problem === undefined) return ok(`${name}: ${port} is free`);
  if (problem === "in use") {
    return (await isService(port))
      ? ok(`${name}: the service answers on ${port}`)
      : error(`${name}: another process listens on ${port}`, `end that process, or set ${name} to another port`);
  }
  return error(`${name}: ${port} cannot be listened on: ${problem}`, `choose another port, or give the right to it`);
}

/** Whether what answers there has the certificate that is configured. */
async function servesCertificate(port: number, { INGEST_TLS_CERT }: Subject["variables"]): Promise<boolean> {
  const served = await readServedCertificate(port, ANSWER_TIMEOUT_MS);
  if (served === undefined || INGEST_TLS_CERT === undefined) return false;
  const configured = await readFile(INGEST_TLS_CERT, "utf8").catch(() => undefined);
  return configured !== undefined && isCertificate(configured, served);
}

/** A damaged file is the finding of another check. */
function isCertificate(pem: string, der: Uint8Array): boolean {
  try {
    return new X509Certificate(pem).raw.equals(der);
  } catch {
    return false;
  }
}

async function servesKeySet(port: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const response = await fetch(`http://localhost:${port}/.well-known/jwks.json`, { signal });
    const body: unknown = await response.json();
    return typeof body === "object" && body !== null && "keys" in body;
  } catch {
    return false;
  }
}
