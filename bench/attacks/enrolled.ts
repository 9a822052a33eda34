import { ConnectError } from "@connectrpc/connect";
import { type Connection, openConnection } from "../../dist/agent/connection.js";
import { type AgentIdentity, type HeartbeatStream, loadAgentKey, openHeartbeatStream } from "../../dist/agent/index.js";
import type { Attack, Attempt, Mark } from "./types.js";

const PIPELINED = 200;
/** Half of these are disks and half are interfaces. */
const DEVICES = 2_000;
const INVENTORY_BYTES = 2_400_000;

/** What one agent can do with its own identity. */
export const enrolledAttacks: Record<string, Attack> = {
  inventories: {
    atOnce: 1,
    prepare: async (mark) => {
      let turn = 0;
      return overStream(mark, (stream) => stream.send(inventory(turn++)));
    },
  },
  heartbeats: {
    atOnce: PIPELINED,
    prepare: async (mark) => overStream(mark, (stream) => stream.send({ cpuPercent: 1, uptimeSeconds: 1n })),
  },
  openings: {
    atOnce: 4,
    prepare: async (mark) => overConnection(mark, mark.identity, (connection) => openOnce(connection, mark.identity)),
  },
  registrations: { atOnce: 16, prepare: registerAgain },
  renewals: {
    atOnce: 16,
    prepare: async (mark) => {
      const csrDer = await loadAgentKey(mark.identity.privateKeyPem).createCsr();
      return overConnection(mark, mark.identity, ({ client }) =>
        client.renewCertificate({ agentId: mark.identity.agentId, csrDer }),
      );
    },
  },
};

/** Nothing in it is as it was in the one before. */
function inventory(turn: number) {
  const text = (index: number) => `${turn}-${index}-`.padEnd(INVENTORY_BYTES / DEVICES / 2, "x");
  const numbers = Array.from({ length: DEVICES / 2 }, (_, index) => index);
  return {
    cpuPercent: 1,
    uptimeSeconds: BigInt(turn),
    disks: numbers.map((index) => ({ mountPoint: `/${text(index)}`, device: text(index), totalBytes: BigInt(turn) })),
    networkInterfaces: numbers.map((index) => ({
      name: text(index),
      ipAddresses: [`10.${turn % 256}.${index >> 8}.${index & 255}`],
      macAddress: text(index),
    })),
  };
}

/** Uses one stream, and opens it again when it was ended. */
function overStream({ port, ca, identity }: Mark, use: (stream: HeartbeatStream) => Promise<unknown>): Attempt {
  let current: HeartbeatStream | undefined;
  return async () => {
    if (current === undefined) {
      const opened = openHeartbeatStream({ address: `localhost:${port}`, ca }, identity);
      current = opened;
      void opened.closed.then(() => {
        if (current === opened) current = undefined;
      });
    }
    return outcomeOf(use(current));
  };
}

/** Makes calls over one connection, which is made again when it breaks. */
function overConnection(
  { port, ca }: Mark,
  credentials: AgentIdentity | undefined,
  call: (connection: Connection) => Promise<unknown>,
): Attempt {
  const connection = openConnection({ address: `localhost:${port}`, ca }, credentials);
  return () => outcomeOf(call(connection));
}

async function openOnce({ client }: Connection, { accessToken }: AgentIdentity): Promise<void> {
  const heartbeats = async function* () {
    yield { agentId: accessToken, cpuPercent: 1 };
  };
  for await (const _ of client.heartbeat(heartbeats())) {
    // It ends by itself, since nothing more is sent.
  }
}

/** Half of the connections show the key's certificate. */
async function registerAgain(mark: Mark): Promise<Attempt> {
  const key = loadAgentKey(mark.identity.privateKeyPem);
  const request = {
    publicKey: key.publicKeyPem,
    csrDer: await key.createCsr(),
    platformInfo: { os: "linux", arch: "amd64" },
    agentInfo: { hostname: "attacker", version: "v1" },
  };
  const [known, unknown] = [mark.identity, undefined].map((credentials) =>
    overConnection(mark, credentials, ({ client }) => client.register(request)),
  );
  return (lane) => ((lane % 2 === 0 ? known : unknown) as Attempt)(lane);
}

async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "0";
  } catch (error) {
    return String(error instanceof ConnectError ? error.code : ConnectError.from(error).code);
  }
}
