import { Code, ConnectError } from "@connectrpc/connect";

/** What the sender of too large a message is told. */
export function tooLarge(maxBytes: number): ConnectError {
  const message = `the message is larger than the ${maxBytes} bytes that this method takes`;
  return new ConnectError(message, Code.ResourceExhausted);
}

/** What a caller is told whose message there is no room for, or who was too slow to send all of it. */
export function busy(): ConnectError {
  return new ConnectError("too many large requests at once; try again later", Code.Unavailable);
}

/** What a caller is told whose message is not whole in time. */
export function tooSlow(timeoutMs: number): ConnectError {
  return new ConnectError(`the message did not arrive within ${timeoutMs / 1000} s`, Code.DeadlineExceeded);
}

/** What a caller is told whose request ends before its last message does. */
export function brokenOff(): ConnectError {
  return new ConnectError("malformed request: it breaks off in the middle of a message", Code.InvalidArgument);
}
