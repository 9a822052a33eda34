import type { DescService } from "@bufbuild/protobuf";
import type { Interceptor, ServiceImpl } from "@connectrpc/connect";
import type { UniversalHandlerFn } from "@connectrpc/connect/protocol";
import { Health } from "#gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "#gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "#gen/grpc/reflection/v1alpha/reflection_pb.js";
import { ByteBudget } from "../../lib/bounds/byte-budget.js";
import type { MessageLimits } from "../screening/message-screen.js";
import type { OnUnreadable } from "../screening/screen-requests.js";
import { createScreenedHandlers } from "../screening/screened-handlers.js";
import { createHealth, type HealthOptions } from "./health.js";
import { createReflection } from "./reflection.js";
import { StreamSlots } from "./stream-slots.js";

/** What is served besides what agents call, and how. */
export interface GrpcServicesOptions extends Pick<HealthOptions, "findReadinessProblem" | "ending" | "lookMs"> {
  /** What agents call. */
  service: DescService;
  interceptors: Interceptor[];
  onUnreadable: OnUnreadable;
  /** Whether anybody may ask which methods there are. */
  hasReflection: boolean;
  /** How long a message may take to arrive that is all of its request, in milliseconds. */
  messageMs?: number | undefined;
}

/** Nobody asks for more than the name of a service or a file. */
const LIMITS: MessageLimits = { maxBytes: 4 * 1024, maxElements: 64, acceptsGzip: true };
/** What all that is being asked takes at one time. */
const BUDGET_BYTES = 1024 * 1024;
/** Probes are few, and nobody asks for the methods for longer than a moment. */
const STREAMS = { max: 100, maxPerSource: 10 };

/**
 * What clients of gRPC expect of any server, by the path of its method: health, for probes and balancers, and reflection,
 * for tools. Neither needs a credential.
 */
export function createGrpcServices({
  service,
  interceptors,
  onUnreadable,
  hasReflection,
  messageMs,
  ...options
}: GrpcServicesOptions): ReadonlyMap<string, UniversalHandlerFn> {
  const slots = new StreamSlots(STREAMS);
  const budgets = { unary: new ByteBudget(BUDGET_BYTES), stream: new ByteBudget(BUDGET_BYTES) };
  const serve = <S extends DescService>(one: S, implementation: ServiceImpl<S>) =>
    createScreenedHandlers({
      service: one,
      implementation,
      limitsOf: () => LIMITS,
      budgets,
      interceptors,
      onUnreadable,
      messageMs,
    });
  const health = serve(Health, createHealth({ ...options, serviceNames: [service.typeName], slots }));
  if (!hasReflection) return health;
  const services = [service, Health, ServerReflection, ServerReflectionAlpha];
  const reflection = createReflection(services, slots);
  return new Map([
    ...health,
    ...serve(ServerReflection, reflection),
    // The two differ in the names of their packages alone.
    ...serve(ServerReflectionAlpha, reflection as unknown as ServiceImpl<typeof ServerReflectionAlpha>),
  ]);
}
