import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { IngestService, SoftwareInventoryAckSchema } from "#gen/agent/v1/ingest_pb.js";
import type { CertificateRenewal } from "../enrolment/known-keys/renewal.js";
import type { Registrar } from "../enrolment/registrar.js";
import type { Sessions } from "../heartbeat/sessions.js";
import { type Callers, requireAccessToken } from "../identity/caller.js";
import { readPresentedCertificate } from "../identity/client-certificates/presented-certificate.js";
import type { SigningKeyRing } from "../identity/signing-keys/signing-key-ring.js";
import type { PaceLimit } from "../lib/bounds/pace.js";
import type { CallLabels } from "../observe/call-labels.js";
import type { Logger } from "../observe/logger.js";
import type { Metrics } from "../observe/metrics.js";
import type { AgentWork } from "../work/agent-work.js";
import type { InventoryUploads } from "../work/inventory/inventory-uploads.js";
import { createAccessInterceptor } from "./access/access.js";
import { AgentCalls } from "./access/agent-calls.js";
import { contextValuesOf, labelsKey, type Peer, peerKey, registrantKey, requireCaller } from "./context.js";
import { createGrpcServices, type GrpcServicesOptions } from "./grpc-services/grpc-services.js";
import type { Http2Stream } from "./grpc-stream/http2-stream.js";
import { createHeartbeatHandler } from "./heartbeat/heartbeat.js";
import { createNodeHandlers, type NodeHandlers } from "./http/node-handler.js";
import { type MessageSizes, messageLimits } from "./message-limits.js";
import { toRawRegistration, toRegisterResponse, toRenewCertificateResponse } from "./messages/messages.js";
import { toRawInventoryChunks } from "./messages/work-messages.js";
import type { NodeRequest } from "./node-request.js";
import { createErrorInterceptor } from "./refusals/error-interceptor.js";
import { createErrorTranslator } from "./refusals/error-translator.js";
import type { RefusalMeter } from "./refusals/refusal-meter.js";
import type { RefusalRecorder } from "./refusals/refusal-recorder.js";

/** Answers are a few kilobytes at most: compressing one costs more than sending it, also where a client accepts it. */
const COMPRESS_MIN_BYTES = 64 * 1024;

/** What the service is made of. */
export interface ServiceOptions {
  callers: Callers;
  registrar: Registrar;
  renewal: CertificateRenewal;
  sessions: Sessions;
  work: AgentWork;
  /** Whether the first message of a stream may name the agent instead of carrying its JWT. */
  acceptIdWithoutJwt: boolean;
  inventoryUploads: InventoryUploads;
  signingKeys: SigningKeyRing;
  refusals: RefusalRecorder;
  refusalMeter: RefusalMeter;
  /** How often an agent may call each method. */
  callPace: PaceLimit;
  logger: Logger;
  metrics: Metrics;
  /** Who is at the other end of the connection that a request came over. */
  peerOf: (request: NodeRequest | Http2Stream) => Peer;
  /** What is served besides. */
  grpcServices: Omit<GrpcServicesOptions, "service" | "interceptors" | "onUnreadable" | "messageMs">;
  messages: MessageSizes & {
    /** Of all messages of streams that are being read or handled. */
    maxWaitingBytes: number;
  };
  /** How long the message of a call may take to arrive, and the first one of a stream, in milliseconds. */
  messageMs: number;
}

/** The handlers that serve `IngestService` over gRPC, gRPC-Web and Connect. */
export function createServiceHandlers(options: ServiceOptions): NodeHandlers {
  const {
    callers,
    registrar,
    renewal,
    sessions,
    work,
    inventoryUploads,
    acceptIdWithoutJwt,
    signingKeys,
    refusals,
    refusalMeter,
    callPace,
    logger,
    metrics,
    peerOf,
    grpcServices,
    messages,
    messageMs,
  } = options;
  const implementation = {
    register: async (request, { values, signal }) => {
      const registration = await registrar.prove(toRawRegistration(request));
      values.set(registrantKey, { publicKey: registration.publicKey.pem, hostname: registration.hostname });
      const { address, certificateDer } = values.get(peerKey);
      const certificate = readPresentedCertificate(certificateDer);
      const connection = { remoteAddress: address, certificate, signal, call: values.get(labelsKey) };
      return toRegisterResponse(await registrar.register(registration, connection));
    },
    heartbeat: createHeartbeatHandler({ sessions, signingKeys, work, acceptIdWithoutJwt, messageMs }),
    // biome-ignore lint/correctness/useYield: the first message would already be an answer
    terminal: async function* () {
      throw unimplemented("Terminal");
    },
    submitSoftwareInventory: async (chunks, { values, requestHeader, signal }) => {
      const caller = requireCaller(values);
      await requireAccessToken(signingKeys, bearerToken(requestHeader), caller, { mayBeExpired: true });
      const received = await inventoryUploads.receive(caller, toRawInventoryChunks(chunks), signal);
      return create(SoftwareInventoryAckSchema, { received });
    },
    renewCertificate: async (request, { values }) =>
      toRenewCertificateResponse(await renewal.renew(requireCaller(values), request)),
  } satisfies ServiceImpl<typeof IngestService>;

  const limits = messageLimits(messages);
  const translateError = createErrorTranslator({ logger, meter: refusalMeter, refusals, metrics });
  const errors = createErrorInterceptor(translateError);
  return createNodeHandlers({
    service: IngestService,
    implementation,
    // The first one sees the errors of those after it.
    onUnreadable: translateError,
    interceptors: [errors, createAccessInterceptor(callers, new AgentCalls(callPace))],
    contextValues: (request: NodeRequest | Http2Stream, call: CallLabels) => contextValuesOf(peerOf(request), call),
    limitsOf: ({ localName }) => limits[localName as keyof typeof limits],
    maxWaitingBytes: messages.maxWaitingBytes,
    compressMinBytes: COMPRESS_MIN_BYTES,
    others: createGrpcServices({
      service: IngestService,
      interceptors: [errors],
      onUnreadable: translateError,
      messageMs,
      ...grpcServices,
    }),
    messageMs,
  });
}

function unimplemented(method: string): ConnectError {
  return new ConnectError(`${method} is not implemented by this version of the service`, Code.Unimplemented);
}

/** Empty when there is none. */
function bearerToken(header: Headers): string {
  return /^Bearer +(\S+)$/i.exec(header.get("authorization") ?? "")?.[1] ?? "";
}
