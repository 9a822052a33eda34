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
  // Not `once`, which rejects with an error that comes first: a connection that is cut may be reset.
  await new Promise((resolve) => socket.on("close", resolve));
  return text;
}
