import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { TestService } from "../service.js";

/** The listeners of a service, and how one is talked to. */
export type Port = "plain" | "TLS, HTTP/1" | "TLS, HTTP/2" | "TLS, no handshake";

const ANSWER_TIMEOUT_MS = 10_000;

/** What a client saw on a connection it wrote these bytes to. */
export interface RawAnswer {
  /** All that came until the connection ended, or `isEnough`. */
  bytes: Buffer;
  /** Whether the other end closed the connection. */
  closed: boolean;
}

/** How bytes are sent. */
export interface RawExchange {
  bytes: Buffer | string;
  /** Nothing more will come, and the other end is told so. */
  end?: boolean;
  /** The connection is reset once the bytes are out; no answer is waited for. */
  reset?: boolean;
  /** The answer is complete. */
  isEnough?: (bytes: Buffer) => boolean;
}

/** Writes bytes, well-formed or not, to one of a service's ports, and waits for its answer. */
export function exchange(service: TestService, port: Port, options: RawExchange): Promise<RawAnswer> {
  const { bytes, end = false, reset = false, isEnough = () => false } = options;
  const socket = open(service, port);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy();
      reject(
        new Error(`no answer after ${ANSWER_TIMEOUT_MS} ms; so far ${JSON.stringify(received.toString("latin1"))}`),
      );
    }, ANSWER_TIMEOUT_MS);
    let received = Buffer.alloc(0);
    const done = (closed: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ bytes: received, closed });
    };
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (isEnough(received)) done(false);
    });
    socket.on("end", () => done(true));
    socket.on("close", () => done(true));
    // A reset is an answer as well.
    socket.on("error", () => {});
    socket.once(port.startsWith("TLS, HTTP") ? "secureConnect" : "connect", () => {
      if (reset) {
        socket.write(bytes, () => {
          socket.resetAndDestroy();
          done(true);
        });
      } else if (end) socket.end(bytes);
      else socket.write(bytes);
    });
  });
}

function open(service: TestService, port: Port): Socket {
  if (port === "plain") return connectTcp({ port: service.httpPort, allowHalfOpen: true });
  if (port === "TLS, no handshake") return connectTcp({ port: service.grpcPort, allowHalfOpen: true });
  const ALPNProtocols = [port === "TLS, HTTP/2" ? "h2" : "http/1.1"];
  return connectTls({ host: "localhost", port: service.grpcPort, ca: service.ca, ALPNProtocols });
}
