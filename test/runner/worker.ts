/**
 * Runs the test files that its parent names, one after the other: what they import is loaded once, which for most of
 * them takes longer than their tests. Prints TAP.
 */
import { Socket } from "node:net";
import t from "tap";

/** What the parent sends. */
export interface FileToRun {
  url: string;
  /** The assertion that is to follow those of the file. */
  endMark: string;
  /** How long what is being closed may take. */
  closingMs: number;
}

const POLL_MS = 10;

// The parent keeps the time, of each file.
t.setTimeout(0);
t.pipe(process.stdout);
// tap lets go of it, and the process would end before the next file comes.
process.channel?.ref();

/** What a file has open for all of its tests; tap would end all testing as soon as such a thing is given to it. */
const teardowns: (() => unknown)[] = [];
t.teardown = (close) => void teardowns.push(close);

let running = Promise.resolve();
process.on("message", (message: FileToRun) => {
  running = running.then(() => runFile(message));
});
process.on("disconnect", () => {
  void running.then(() => t.end());
});

async function runFile({ url, endMark, closingMs }: FileToRun): Promise<void> {
  const before = openResources();
  const socketsBefore = openSockets();
  try {
    await import(url);
  } catch (error) {
    t.fail("cannot be loaded", { reason: error instanceof Error ? error.stack : error });
  }
  await idle();
  for (let close = teardowns.pop(); close !== undefined; close = teardowns.pop()) await close();
  const left = await leftOpen(before, closingMs);
  if (left.length > 0) {
    const sockets = openSockets().filter((socket) => !socketsBefore.includes(socket));
    t.fail("leaves something open", { found: left, sockets: sockets.map(describeSocket) });
  }
  // Twice: tap holds back what is last.
  t.pass(endMark);
  t.pass(endMark);
}

/** Waits until the tests that were added are through. */
function idle(): Promise<void> {
  return new Promise((resolve) => {
    const check = () => {
      if (!t.idle) return;
      t.off("idle", check);
      resolve();
    };
    t.on("idle", check);
    check();
  });
}

/** What keeps the process alive that did not before. */
async function leftOpen(before: readonly string[], closingMs: number): Promise<string[]> {
  const deadline = performance.now() + closingMs;
  for (;;) {
    const left = openResources();
    for (const resource of before) {
      const index = left.indexOf(resource);
      if (index >= 0) left.splice(index, 1);
    }
    if (left.length === 0 || performance.now() > deadline) return left;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function openResources(): string[] {
  return process.getActiveResourcesInfo();
}

/** Node has no documented way to them. */
function openSockets(): Socket[] {
  const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles(): unknown[] };
  return handles.call(process).filter((handle) => handle instanceof Socket);
}

/** By its ends; one that was destroyed does not know them any more. */
function describeSocket(socket: Socket): string {
  const { localPort, remoteAddress, remotePort, destroyed, bytesRead, bytesWritten } = socket;
  const ends = destroyed ? "destroyed" : `from port ${localPort} to ${remoteAddress} port ${remotePort}`;
  return `${ends}, ${bytesRead} bytes read, ${bytesWritten} written`;
}
