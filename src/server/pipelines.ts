import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Request, Response } from "./request-guard.js";

/** What no client needs: browsers and fetch send no request of HTTP/1.1 before the one before it is answered. */
const MAX_UNANSWERED = 10;

/**
 * Cuts a connection of HTTP/1.1 whose client sends request after request without waiting for answers. Node begins all of
 * them, and holds the answers until it is their turn: a few such connections would take hundreds of megabytes.
 *
 * @param onCut is told when a connection was cut
 */
export function boundPipelines<Q extends Request, R extends Response>(
  listener: (request: Q, response: R) => unknown,
  onCut: (socket: Socket) => void,
): (request: Q, response: R) => void {
  const unanswered = new WeakMap<Socket, number>();
  const count = (socket: Socket, more: number) => {
    const sum = (unanswered.get(socket) ?? 0) + more;
    unanswered.set(socket, sum);
    return sum;
  };
  return (request, response) => {
    if ("stream" in request) {
      listener(request, response);
      return;
    }
    const { socket } = request as IncomingMessage;
    // Of a connection that was cut, what had arrived is read to its end.
    if (socket.destroyed) return;
    if (count(socket, 1) > MAX_UNANSWERED) {
      onCut(socket);
      socket.destroy();
      return;
    }
    (response as ServerResponse).once("close", () => count(socket, -1));
    listener(request, response);
  };
}
