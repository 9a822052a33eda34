import { setTimeout as delay } from "node:timers/promises";
import type { AgentKey } from "./agent-key.js";
import { type ClientCredentials, openConnection, type ServiceAddress } from "./connection.js";

const POLL_INTERVAL_MS = 30_000;
/** The service waits for locks and for its database no longer than this. */
const CALL_TIMEOUT_MS = 60_000;

/** What an agent says of itself and of its machine when it registers. */
export interface AgentDescription {
  hostname: string;
  version: string;
  os: string;
  arch: string;
  ipAddresses?: readonly string[];
  tags?: readonly { key: string; value: string }[];
}

/** What an approved agent was given. */
export interface AgentIdentity extends ClientCredentials {
  agentId: string;
  /** JWT; good for 24 hours. */
  accessToken: string;
  agentCaCertificatePem: string;
  certificateNotAfter: Date;
}

/** What `Register` answered. */
export type RegisterResult = { status: "active"; identity: AgentIdentity } | { status: "pending"; agentId: string };

/** What a registration takes. */
export interface RegisterOptions extends ServiceAddress {
  key: AgentKey;
  /** Enrolment token; not looked at when the key is known already. */
  token: string;
  description: AgentDescription;
  /** What to present in the handshake: an agent that has a certificate presents it, stale ones too. */
  credentials?: ClientCredentials;
  signal?: AbortSignal;
  /** How long one registration may take, connecting included, in milliseconds; a minute unless told otherwise. */
  timeoutMs?: number;
}

/** An operator revoked this agent: it is not to come back by itself. */
export class AgentRevokedError extends Error {
  override readonly name = "AgentRevokedError";

  constructor(readonly agentId: string) {
    super(`agent ${agentId} was revoked by an operator`);
  }
}

/**
 * Registers once.
 *
 * @throws AgentRevokedError, ConnectError
 */
export async function register(options: RegisterOptions): Promise<RegisterResult> {
  const { key, token, description, credentials, signal, timeoutMs = CALL_TIMEOUT_MS } = options;
  const { hostname, version, os, arch, ipAddresses = [], tags = [] } = description;
  const connection = openConnection(options, credentials);
  try {
    const response = await connection.client.register(
      {
        orgToken: token,
        publicKey: key.publicKeyPem,
        csrDer: await key.createCsr(),
        platformInfo: { os, arch, ipAddresses: [...ipAddresses] },
        agentInfo: { hostname, version },
        tags: [...tags],
      },
      { timeoutMs, ...(signal && { signal }) },
    );
    const { agentId } = response;
    if (response.status === "pending") return { status: "pending", agentId };
    if (response.status !== "active") throw new AgentRevokedError(agentId);
    return {
      status: "active",
      identity: {
        agentId,
        accessToken: response.jwtToken,
        certificatePem: response.clientCertPem,
        privateKeyPem: key.privateKeyPem,
        agentCaCertificatePem: response.agentCaCertPem,
        certificateNotAfter: new Date(Number(response.clientCertNotAfterUnix) * 1000),
      },
    };
  } finally {
    connection.close();
  }
}

/**
 * Registers, and asks again for as long as an operator takes to approve.
 *
 * @param options.pollIntervalMs how long to wait between, 30 seconds unless told otherwise
 * @param options.onPending told each time that approval is waited for
 * @throws AgentRevokedError, ConnectError, AbortError
 */
export async function enrol(
  options: RegisterOptions & { pollIntervalMs?: number; onPending?: (agentId: string) => void },
): Promise<AgentIdentity> {
  const { pollIntervalMs = POLL_INTERVAL_MS, onPending, signal } = options;
  for (;;) {
    const result = await register(options);
    if (result.status === "active") return result.identity;
    onPending?.(result.agentId);
    await delay(pollIntervalMs, undefined, signal ? { signal } : {});
  }
}
