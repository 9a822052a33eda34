import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Request, Response } from "./request-guard.js";

/** What no client needs: browsers and fetch send no request of HTTP/1.1 before the one before it is answered. */
const MAX_UNANSWERED = 10;

/**
 * The requests of HTTP/1.1 that are under way, by their connections. One whose client sends request after request without
 * waiting for answers is cut: Node begins all of them, and holds the answers until it is their turn, so that a few such
 * connections would take hundreds of megabytes.
 */
export class Pipelines {
  readonly #unanswered = new WeakMap<Socket, number>();

  /** @param onCut is told when a connection was cut */
  constructor(private readonly onCut: (socket: Socket) => void) {}

  /** Whether something is being answered on a connection. */
  isAnswering(socket: Socket): boolean {
    return this.#count(socket, 0) > 0;
  }

  /** Puts the limit before what listens to requests. */
  bound<Q extends Request, R extends Response>(listener: (request: Q, response: R) => unknown) {
    return (request: Q, response: R): void => {
      if (!("stream" in request) && !this.#enter(request, response as ServerResponse)) return;
      listener(request, response);
    };
  }

  #enter({ socket }: IncomingMessage, response: ServerResponse): boolean {
    // Of a connection that was cut, what had arrived is read to its end.
    if (socket.destroyed) return false;
    if (this.#count(socket, 1) > MAX_UNANSWERED) {
      this.onCut(socket);
      socket.destroy();
      return false;
    }
    response.once("close", () => this.#count(socket, -1));
    return true;
  }

  #count(socket: Socket, more: number): number {
    const sum = (this.#unanswered.get(socket) ?? 0) + more;
    this.#unanswered.set(socket, sum);
    return sum;
  }
}
