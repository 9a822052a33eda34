import { once } from "node:events";
import type { Socket } from "node:net";
import type { Test } from "tap";

/** Sends these bytes, and resolves with all that comes until the other end closes the connection. */
export async function untilClosed(t: Test, socket: Socket, bytes: string): Promise<string> {
  t.teardown(() => socket.destroy());
  let text = "";
  socket.on("data", (piece: Buffer) => {
    text += piece;
  });
  socket.on("error", () => {});
  socket.write(bytes);
  await once(socket, "close");
  return text;
}
