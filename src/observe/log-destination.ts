import { fstatSync, writeSync } from "node:fs";
import type { DestinationStream } from "pino";

/** What a reader that is slow or stuck may leave unread. */
const MAX_UNREAD_BYTES = 1024 * 1024;
const NEWLINE = "\n";

/** Writes a line, or not: `onFailed` is told when it is lost. Throws nothing, and waits for nobody. */
type WriteLine = (line: string, onFailed: () => void) => void;

/**
 * Standard output, for log lines. One that cannot be written (full disk, terminal or reader that is gone, reader that
 * stands still) is dropped, and how many were is the first line once lines can be written again: pino's own destination
 * tries again for ever, and the service would answer nobody, nor a signal.
 */
export function standardOutput(): DestinationStream {
  const write = isStream(process.stdout.fd) ? createStreamWriter(process.stdout) : createFileWriter(process.stdout.fd);
  let dropped = 0;
  const onFailed = () => {
    dropped += 1;
  };
  return {
    write: (line) => {
      if (dropped === 0) return write(line, onFailed);
      const before = dropped;
      dropped = 0;
      let isLost = false;
      write(describeDropped(before), () => {
        isLost = true;
        dropped += before;
      });
      if (isLost) onFailed();
      else write(line, onFailed);
    },
  };
}

function describeDropped(dropped: number): string {
  const fields = { level: "warn", time: new Date().toISOString(), dropped, msg: "log lines could not be written" };
  return `${JSON.stringify(fields)}${NEWLINE}`;
}

/** A terminal, pipe or socket: Node can write to them without waiting. */
function isStream(fd: number): boolean {
  const found = fstatSync(fd);
  return found.isFIFO() || found.isSocket() || process.stdout.isTTY;
}

function createStreamWriter(stream: NodeJS.WriteStream & Blocking): WriteLine {
  // Node makes terminals wait: one that is halted (Ctrl-S, a container engine that stands still) would halt the service.
  if (stream.isTTY) stream._handle?.setBlocking?.(false);
  // Node ends the process for an error that nobody listens to.
  if (!stream.listeners("error").includes(ignore)) stream.on("error", ignore);
  return (line, onFailed) => {
    if (stream.destroyed || stream.writableLength > MAX_UNREAD_BYTES) onFailed();
    else {
      stream.write(line, (error) => {
        if (error) onFailed();
      });
    }
  };
}

function ignore(): void {}

/** What Node has for it; no documented way leads there. */
interface Blocking {
  _handle?: { setBlocking?(isBlocking: boolean): void } | null;
}

/** Not `process.stdout`, which is closed for good by its first error: a disk that was full may have room again. */
function createFileWriter(fd: number): WriteLine {
  let isTorn = false;
  return (line, onFailed) => {
    // What is left of a line that did not fit must not run into this one.
    let rest = Buffer.from(isTorn ? NEWLINE + line : line);
    try {
      while (rest.length > 0) {
        rest = rest.subarray(writeSync(fd, rest));
        isTorn = rest.length > 0;
      }
    } catch {
      onFailed();
    }
  };
}
