/** How the body of a request is written. */
export interface RequestType {
  protocol: "grpc" | "grpc-web" | "connect stream" | "connect unary";
  format: "protobuf" | "json";
  /** Messages in envelopes of five bytes each, or one message that is the whole body. */
  hasEnvelopes: boolean;
  /** The header that names how messages are compressed, and the one that says what would be understood. */
  encodingHeader: string;
  acceptEncodingHeader: string;
}

const GRPC = {
  protocol: "grpc",
  hasEnvelopes: true,
  encodingHeader: "grpc-encoding",
  acceptEncodingHeader: "grpc-accept-encoding",
} as const;
const GRPC_WEB = { ...GRPC, protocol: "grpc-web" } as const;
const CONNECT_STREAM = {
  protocol: "connect stream",
  hasEnvelopes: true,
  encodingHeader: "connect-content-encoding",
  acceptEncodingHeader: "connect-accept-encoding",
} as const;
const CONNECT_UNARY = {
  protocol: "connect unary",
  hasEnvelopes: false,
  encodingHeader: "content-encoding",
  acceptEncodingHeader: "accept-encoding",
} as const;

/** `application/grpc`, with messages as Protocol Buffers write them. */
export const GRPC_PROTOBUF: RequestType = { ...GRPC, format: "protobuf" };

const TYPES: ReadonlyMap<string, RequestType> = new Map<string, RequestType>([
  ["application/grpc", GRPC_PROTOBUF],
  ["application/grpc+proto", GRPC_PROTOBUF],
  ["application/grpc+json", { ...GRPC, format: "json" }],
  ["application/grpc-web", { ...GRPC_WEB, format: "protobuf" }],
  ["application/grpc-web+proto", { ...GRPC_WEB, format: "protobuf" }],
  ["application/grpc-web+json", { ...GRPC_WEB, format: "json" }],
  ["application/connect+proto", { ...CONNECT_STREAM, format: "protobuf" }],
  ["application/connect+json", { ...CONNECT_STREAM, format: "json" }],
  ["application/proto", { ...CONNECT_UNARY, format: "protobuf" }],
  ["application/json", { ...CONNECT_UNARY, format: "json" }],
]);

/** What a `content-type` says of the body; undefined for one that none of the three protocols has. */
export function parseRequestType(contentType: string | null): RequestType | undefined {
  return TYPES.get((contentType ?? "").toLowerCase().replace(/; ?charset=utf-?8$/, ""));
}
