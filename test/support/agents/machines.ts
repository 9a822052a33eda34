import type { TestService } from "../service.js";
import {
  createTestKey,
  heartbeat,
  openStream,
  type RegisterReply,
  register,
  registration,
  type TestIdentity,
  type TestKey,
} from "./field-agent.js";

/** As if this much time had passed since anything was heard of any agent. */
export function passTime({ database }: TestService, seconds = 91): Promise<unknown> {
  return Promise.all([
    database.query("update ingest.agent_registrations set registered_at = registered_at - make_interval(secs => $1)", [
      seconds,
    ]),
    database.query("update agents set last_heartbeat_at = last_heartbeat_at - make_interval(secs => $1)", [seconds]),
    database.query(
      `update ingest.agent_sessions set opened_at = opened_at - make_interval(secs => $1),
                                        closed_at = closed_at - make_interval(secs => $1)`,
      [seconds],
    ),
    database.query("update hosts set last_seen_at = last_seen_at - make_interval(secs => $1)", [seconds]),
  ]);
}

/** A machine: it keeps its hostname and addresses whichever key it has. */
export function machine(hostname: string, ...ipAddresses: string[]) {
  return { agentInfo: { hostname, version: "v1" }, platformInfo: { os: "linux", arch: "amd64", ipAddresses } };
}

export async function registerMachine(
  service: TestService,
  token: string,
  of: object,
  key = createTestKey(),
): Promise<RegisterReply> {
  return register(service, await registration(key, token, of));
}

/** Registers with the agent's own key, as its agent does: the connection shows its certificate. */
export async function comeBack(
  service: TestService,
  token: string,
  of: object,
  own: TestIdentity,
): Promise<RegisterReply> {
  return register(service, await registration(own.key, token, of), own);
}

/** Opens and ends a stream: the host is offline, and its addresses are on record. */
export async function comeAndGo(service: TestService, identity: TestIdentity, ipAddresses: string[]): Promise<void> {
  const stream = openStream(service, identity);
  stream.send(
    heartbeat(identity.jwt, { networkInterfaces: [{ name: "eth0", ipAddresses, macAddress: "", isUp: true }] }),
  );
  await stream.next();
  stream.end();
  await stream.ended;
}

/** What an agent has that was answered so. */
export function identityOf(reply: RegisterReply, key: TestKey): TestIdentity {
  const { agentId, jwtToken: jwt, clientCertPem: certificatePem } = reply;
  return { agentId, key, jwt, certificatePem, privateKeyPem: key.privateKeyPem };
}
