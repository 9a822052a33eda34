import { type AgentPort, probeAgentPort } from "./port-probe.js";

const TIMEOUT_MS = 2_000;
/** A look costs a TLS handshake and a request; whoever asks more often is told what the last one found. */
const FRESH_MS = 1_000;

/** Looks whether the port for agents accepts connections and answers, by asking it. */
export class Acceptance {
  #look: Promise<string | undefined> | undefined;

  constructor(private readonly on: AgentPort) {}

  /** Why it does not; undefined when it does. */
  findProblem(): Promise<string | undefined> {
    this.#look ??= probeAgentPort(this.on, TIMEOUT_MS).then((certificate) => {
      setTimeout(() => {
        this.#look = undefined;
      }, FRESH_MS).unref();
      return certificate === undefined ? `nobody is answered on port ${this.on.port}` : undefined;
    });
    return this.#look;
  }
}
