import { Code, ConnectError } from "@connectrpc/connect";
import { encodeEnvelope, type UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  endStreamFlag,
  endStreamToJson,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { trailerFlag, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import { toStatusTrailers } from "../grpc-stream/status-trailer.js";
import { withDetails } from "../refusals/error-status.js";
import { parseRequestType, type RequestType } from "../screening/request-type.js";

/** What a path can be called with. */
export const CALL_METHODS = "POST, OPTIONS";

/** Of what a caller sent, in an answer. */
const MAX_NAMED_LENGTH = 200;

const CONTENT_TYPES =
  "gRPC (application/grpc), gRPC-Web (application/grpc-web) and Connect (application/json or application/proto; " +
  "application/connect+json or application/connect+proto for a method with streams)";

/** What Connect's handlers answer without a word. */
const SENTENCES: ReadonlyMap<number, string> = new Map([
  [405, `a method is called with POST; this path takes ${CALL_METHODS}`],
  [415, `this content type is not taken here; methods are called over ${CONTENT_TYPES}`],
  [505, "this method has streams both ways, which takes HTTP/2"],
]);

/** Asked for with a path where no method is: whoever makes a call is answered in its own protocol, anybody else in a sentence. */
export function answerUnknownPath(
  { method, path }: { method: string; path: string },
  contentType: string | null,
): UniversalServerResponse {
  const named = path.slice(0, MAX_NAMED_LENGTH);
  const type = method === "POST" ? parseRequestType(contentType) : undefined;
  if (type === undefined || contentType === null) {
    return sentence(404, `there is nothing at ${named}; methods are called at /agent.v1.IngestService/NAME with POST`);
  }
  const error = withDetails(new ConnectError(`there is no method at ${named}`, Code.Unimplemented));
  return { header: new Headers({ "content-type": contentType }), ...inProtocol(type, error) };
}

/** Adds a sentence to what Connect answers with a status alone. */
export function explain(response: UniversalServerResponse): UniversalServerResponse {
  const text = response.body === undefined ? SENTENCES.get(response.status) : undefined;
  if (text === undefined) return response;
  const told = sentence(response.status, text);
  if (response.status === 405) told.header.set("allow", CALL_METHODS);
  return told;
}

function inProtocol({ protocol }: RequestType, error: ConnectError): Omit<UniversalServerResponse, "header"> {
  switch (protocol) {
    case "grpc":
      return { status: 200, body: bytes(), trailer: toStatusTrailers(undefined, error) };
    case "grpc-web":
      return {
        status: 200,
        body: bytes(encodeEnvelope(trailerFlag, trailerSerialize(toStatusTrailers(undefined, error)))),
      };
    case "connect stream": {
      const end = JSON.stringify(endStreamToJson(new Headers(), error, undefined));
      return { status: 200, body: bytes(encodeEnvelope(endStreamFlag, new TextEncoder().encode(end))) };
    }
    case "connect unary":
      return { status: codeToHttpStatus(error.code), body: bytes(errorToJsonBytes(error, undefined)) };
  }
}

function sentence(status: number, text: string): UniversalServerResponse & { header: Headers } {
  const header = new Headers({ "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" });
  return { status, header, body: bytes(new TextEncoder().encode(`${text}\n`)) };
}

async function* bytes(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}
