import { Code, ConnectError } from "@connectrpc/connect";
import {
  grpcStatusOk,
  headerGrpcStatus,
  headerStatusDetailsBin,
  setTrailerStatus,
} from "@connectrpc/connect/protocol-grpc";

/**
 * What a message and the details of an error may take as they are written. Some clients refuse more than 8 KiB of headers
 * altogether (gRPC for Java and the one in C), and then see no status at all.
 */
const MAX_MESSAGE_BYTES = 2 * 1024;
const MAX_DETAILS_BYTES = 4 * 1024;

const CUT_MARK = "...";

/**
 * The trailers that end a call.
 *
 * @param trailers what the implementation has to say
 * @param error what the call failed with; undefined when it did not
 */
export function toStatusTrailers(trailers: Headers | undefined, error: unknown): Headers {
  const target = new Headers(trailers);
  if (error === undefined) {
    target.set(headerGrpcStatus, grpcStatusOk);
    return target;
  }
  const known = error instanceof ConnectError ? error : new ConnectError("internal error", Code.Internal);
  // Connect's own encoding of the message throws on half a surrogate pair.
  const told = new ConnectError(known.rawMessage.toWellFormed(), known.code, known.metadata);
  told.details = known.details;
  setTrailerStatus(target, told);
  target.set("grpc-message", encodeMessage(told.rawMessage));
  if ((target.get(headerStatusDetailsBin)?.length ?? 0) > MAX_DETAILS_BYTES) target.delete(headerStatusDetailsBin);
  return target;
}

/**
 * A message percent-encoded as the specification of gRPC wants it: everything but printable ASCII, the percent sign, and
 * space at either end, which a header field cannot have (RFC 9113, section 8.2.1). One that is too long is cut, between
 * two characters.
 */
export function encodeMessage(message: string): string {
  const encoded = encodeCharacters(message);
  if (encoded.length <= MAX_MESSAGE_BYTES) return encoded;
  let cut = "";
  for (const character of message) {
    const next = encodeCharacters(character);
    if (cut.length + next.length > MAX_MESSAGE_BYTES - CUT_MARK.length) break;
    cut += next;
  }
  return cut + CUT_MARK;
}

function encodeCharacters(text: string): string {
  return text.replace(/^ +| +$|[^ -~]+|%/gu, (part) => encodeURIComponent(part).replaceAll(" ", "%20"));
}
