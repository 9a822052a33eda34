import type { Socket } from "node:net";

/** Whoever sends more than a balancer does before it makes sense is none. */
const MAX_BYTES = 8 * 1024;

/**
 * Reads the first bytes of a connection until they say enough, and puts back what is left.
 *
 * @param judge says what they are, and how many of them are done with; undefined when there are too few
 * @returns what they are; `closed` when the connection ended before, or brought too much that says nothing
 */
export function readFirstBytes<T>(
  socket: Socket,
  judge: (bytes: Buffer) => { judged: T; used: number } | undefined,
): Promise<T | "closed"> {
  return new Promise((resolve) => {
    let bytes: Buffer = Buffer.alloc(0);
    const settle = (result: T | "closed") => {
      socket.off("readable", onReadable).off("close", onClose).off("end", onClose);
      resolve(result);
    };
    const onReadable = () => {
      const piece: Buffer | null = socket.read();
      if (piece === null) return;
      bytes = bytes.length === 0 ? piece : Buffer.concat([bytes, piece]);
      const verdict = judge(bytes);
      if (verdict === undefined) {
        if (bytes.length > MAX_BYTES) settle("closed");
        return;
      }
      settle(verdict.judged);
      if (bytes.length > verdict.used) socket.unshift(bytes.subarray(verdict.used));
    };
    const onClose = () => settle("closed");
    socket.on("readable", onReadable).once("close", onClose).once("end", onClose);
  });
}
