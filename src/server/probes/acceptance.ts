import { type AgentPort, probeAgentPort } from "./port-probe.js";

const TIMEOUT_MS = 2_000;
const ATTEMPTS = 2;
/** A look costs a TLS handshake and a request; whoever asks more often is told what the last one found. */
const FRESH_MS = 1_000;

/**
 * Looks whether the port for agents accepts connections and answers, by asking it. Where several processes share the port,
 * a connection may meet one that is about to end: the next one comes to another.
 */
export class Acceptance {
  #look: Promise<string | undefined> | undefined;

  constructor(private readonly on: AgentPort) {}

  /** Why it does not; undefined when it does. */
  findProblem(): Promise<string | undefined> {
    this.#look ??= this.#isAnswered().then((isAnswered) => {
      setTimeout(() => {
        this.#look = undefined;
      }, FRESH_MS).unref();
      return isAnswered ? undefined : `nobody is answered on port ${this.on.port}`;
    });
    return this.#look;
  }

  async #isAnswered(): Promise<boolean> {
    const endsAt = performance.now() + TIMEOUT_MS;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const leftMs = endsAt - performance.now();
      if (leftMs > 0 && (await probeAgentPort(this.on, leftMs)) !== undefined) return true;
    }
    return false;
  }
}
