import { X509Certificate } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { status as Code, type ServiceError } from "@grpc/grpc-js";
import type { TestService } from "../service.js";
import {
  createTestCsr,
  createTestKey,
  heartbeat,
  openStream,
  type RegisterReply,
  register,
  registration,
  renewCertificate,
  type TestKey,
  type TestStream,
} from "./field-agent.js";
import { InstalledWork, isPush, type WorkLog } from "./installed-work.js";
import { uploadInventory } from "./inventory-upload.js";

/** One second of the released agent, in milliseconds of a test. */
const SECOND_MS = 10;
const POLL_S = 30;
const HEARTBEAT_S = 30;
const MAX_BACKOFF_S = 60;
const GOOD_STREAM_S = 10;
const RESTART_S = 5;
/** The codes that make it forget its agent id and JWT. */
const FORGETS = [Code.NOT_FOUND, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED];

/** What is in its data directory. */
export interface AgentDisk {
  key: TestKey;
  /** The state file. */
  state?: { agentId: string; jwt: string } | undefined;
  certificatePem?: string;
}

/** What it does that can be seen from outside. */
export type AgentEvent =
  | { kind: "registered"; status: string; agentId: string; withCertificate: boolean }
  | { kind: "acknowledged"; agentId: string }
  | { kind: "stream ended"; code: number; details: string }
  | { kind: "renewed" }
  | { kind: "renewal failed"; code: number }
  | { kind: "exited"; exitCode: number; reason: string };

/** Ends its process; the service manager starts it again. */
class Exit extends Error {
  constructor(
    readonly exitCode: number,
    message: string,
  ) {
    super(message);
  }
}

/**
 * An agent as it is installed in the field, under a service manager that always starts it again. Nothing of it is the
 * product's: it follows the contract, "How the agents that are installed today behave", line by line.
 */
export class InstalledAgent {
  readonly disk: AgentDisk = { key: createTestKey() };
  readonly events: AgentEvent[] = [];
  readonly workLog: WorkLog = { reports: [], begun: [] };
  readonly #emitter = new EventEmitter();
  #running: { stop: AbortController; ended: Promise<void> } | undefined;

  constructor(
    private readonly service: Pick<TestService, "address" | "ca">,
    /** What stands in its configuration file. */
    readonly config: { orgToken: string; hostname: string },
  ) {}

  /** Starts the service manager, and so the process. */
  start(): void {
    const stop = new AbortController();
    this.#running = { stop, ended: this.#supervise(stop.signal) };
  }

  /** Kills the process, and the service manager leaves it at that. */
  async stop(): Promise<void> {
    this.#running?.stop.abort();
    await this.#running?.ended;
    this.#running = undefined;
  }

  /** The next event from now on that is of this kind, and like this. */
  async next<K extends AgentEvent["kind"]>(
    kind: K,
    isLike: (event: Extract<AgentEvent, { kind: K }>) => boolean = () => true,
  ): Promise<Extract<AgentEvent, { kind: K }>> {
    const deadline = AbortSignal.timeout(15_000);
    for (;;) {
      const [event] = (await once(this.#emitter, kind, { signal: deadline })) as [Extract<AgentEvent, { kind: K }>];
      if (isLike(event)) return event;
    }
  }

  #tell(event: AgentEvent): void {
    this.events.push(event);
    this.#emitter.emit(event.kind, event);
  }

  async #supervise(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#process(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Exit)) throw error;
        this.#tell({ kind: "exited", exitCode: error.exitCode, reason: error.message });
        await seconds(RESTART_S, signal);
      }
    }
  }

  async #process(signal: AbortSignal): Promise<void> {
    const work = new InstalledWork(this.workLog, (scanId, stopped) => this.#upload(scanId, stopped));
    try {
      await this.#holdStreams(work, signal);
    } finally {
      await work.stop();
    }
  }

  async #holdStreams(work: InstalledWork, signal: AbortSignal): Promise<void> {
    let backoffS = 1;
    while (!signal.aborted) {
      this.disk.state ??= await this.#register(signal);
      await this.#renewIfDue();
      if (signal.aborted) return;
      const openedAt = performance.now();
      const { code, details } = await this.#stream(this.disk.state, work, signal);
      if (signal.aborted) return;
      this.#tell({ kind: "stream ended", code, details });
      if (FORGETS.includes(code)) {
        this.disk.state = undefined;
        continue;
      }
      if (performance.now() - openedAt >= GOOD_STREAM_S * SECOND_MS) backoffS = 1;
      await seconds(backoffS, signal);
      backoffS = Math.min(backoffS * 2, MAX_BACKOFF_S);
    }
  }

  async #register(signal: AbortSignal): Promise<{ agentId: string; jwt: string }> {
    const { key, certificatePem } = this.disk;
    const { orgToken, hostname } = this.config;
    const request = await registration(key, orgToken, { agentInfo: { version: "v1.2.3", hostname } });
    for (;;) {
      let reply: RegisterReply;
      try {
        reply = await register(this.service, request, this.#presented());
      } catch (error) {
        const { code, details } = error as ServiceError;
        throw new Exit(1, `registration failed: ${code} ${details}`);
      }
      const { status, agentId } = reply;
      this.#tell({ kind: "registered", status, agentId, withCertificate: certificatePem !== undefined });
      if (status === "active") {
        this.disk.certificatePem = reply.clientCertPem;
        return { agentId, jwt: reply.jwtToken };
      }
      if (status !== "pending") throw new Exit(1, `registration answered ${status}`);
      await seconds(POLL_S, signal);
      signal.throwIfAborted();
    }
  }

  async #renewIfDue(): Promise<void> {
    const { certificatePem, state, key } = this.disk;
    if (certificatePem === undefined || state === undefined) return;
    const { validFrom, validTo } = new X509Certificate(certificatePem);
    const lifeMs = Date.parse(validTo) - Date.parse(validFrom);
    if (Date.parse(validTo) - Date.now() >= lifeMs / 3) return;
    try {
      const reply = await renewCertificate(
        this.service,
        { agentId: state.agentId, csrDer: createTestCsr(key) },
        this.#presented(),
      );
      this.disk.certificatePem = reply.clientCertPem;
    } catch (error) {
      this.#tell({ kind: "renewal failed", code: (error as ServiceError).code });
      return;
    }
    this.#tell({ kind: "renewed" });
    throw new Exit(0, "certificate renewed");
  }

  /** Holds one stream, over a connection of its own, for as long as it lasts. It waits for no answer. */
  async #stream({ agentId, jwt }: { agentId: string; jwt: string }, work: InstalledWork, signal: AbortSignal) {
    const stream = openStream(this.service, this.#presented());
    const onAbort = () => stream.destroy();
    signal.addEventListener("abort", onAbort, { once: true });
    const over = new AbortController();
    void stream.ended.then(() => over.abort());
    let firstId = jwt;
    const send = (fields: object) => {
      stream.send(heartbeat(firstId, fields));
      firstId = agentId;
    };
    work.openStream(send);
    const reading = this.#read(stream, agentId, work);
    while (!over.signal.aborted) {
      send(work.takeRegular());
      await seconds(HEARTBEAT_S, over.signal);
    }
    work.closeStream();
    await reading;
    signal.removeEventListener("abort", onAbort);
    return stream.ended;
  }

  async #read(stream: TestStream, agentId: string, work: InstalledWork): Promise<void> {
    for (;;) {
      const answer = await stream.next().catch(() => undefined);
      if (answer === undefined) return;
      if (isPush(answer)) {
        work.take(answer);
      } else if (answer.ok) {
        work.acknowledge();
        this.#tell({ kind: "acknowledged", agentId });
      }
    }
  }

  /** Lists its software over a second connection, in two chunks. */
  async #upload(scanId: string, signal: AbortSignal): Promise<void> {
    const chunk = { scanId, source: "dpkg", packages: [{ name: "bash", version: "5", architecture: "amd64" }] };
    const last = {
      ...chunk,
      chunkIndex: 1,
      isLast: true,
      packages: [{ name: "curl", version: "8", architecture: "amd64" }],
    };
    await uploadInventory(this.service, this.#presented(), this.disk.state?.jwt ?? "", [chunk, last], signal);
  }

  /** The certificate on disk, stale or not. */
  #presented(): { certificatePem: string; privateKeyPem: string } | undefined {
    const { certificatePem, key } = this.disk;
    return certificatePem === undefined ? undefined : { certificatePem, privateKeyPem: key.privateKeyPem };
  }
}

/** Waits so many seconds of the released agent, or until the signal is aborted. */
async function seconds(count: number, signal: AbortSignal): Promise<void> {
  await delay(count * SECOND_MS, undefined, { signal }).catch(() => {});
}
