import {
  create,
  createFileRegistry,
  type DescFile,
  type DescMessage,
  type DescService,
  type FileRegistry,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "#gen/google/rpc/error_details_pb.js";
import type {
  ServerReflection,
  ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from "#gen/grpc/reflection/v1/reflection_pb.js";
import type { StreamSlots } from "./stream-slots.js";

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** Of what a caller sent, in an answer. */
const MAX_NAMED_LENGTH = 200;

/**
 * `grpc.reflection.v1`: tells grpcurl, buf curl and their like which services, methods and messages there are. `v1alpha`
 * is written the same way.
 *
 * @param services what is served
 */
export function createReflection(
  services: readonly DescService[],
  slots: StreamSlots,
): ServiceImpl<typeof ServerReflection> {
  // No method names the details of errors; who is told them looks for what they are.
  const roots = [file_google_rpc_error_details, ...services.map(({ file }) => file)];
  const file = [...new Set(roots.flatMap(withImports))].map(({ proto }) => proto);
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }));
  return {
    serverReflectionInfo: async function* (requests, { values }) {
      const leave = slots.enter(values);
      try {
        for await (const request of requests) {
          yield {
            validHost: request.host,
            originalRequest: request,
            messageResponse: answer(request, services, registry),
          };
        }
      } finally {
        leave();
      }
    },
  };
}

function answer(
  { messageRequest: asked }: ServerReflectionRequest,
  services: readonly DescService[],
  registry: FileRegistry,
): Answer {
  switch (asked.case) {
    case "listServices":
      return {
        case: "listServicesResponse",
        value: { service: services.map(({ typeName }) => ({ name: typeName })) },
      };
    case "fileByFilename":
      return files(registry.getFile(asked.value.replace(/\.proto$/, "")), `file ${named(asked.value)}`);
    case "fileContainingSymbol":
      return files(findSymbol(registry, asked.value), `symbol ${named(asked.value)}`);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = asked.value;
      const message = registry.getMessage(containingType);
      return files(message && registry.getExtensionFor(message, extensionNumber)?.file, "such extension");
    }
    case "allExtensionNumbersOfType": {
      const message = registry.getMessage(asked.value);
      if (message === undefined) return notFound(`message ${named(asked.value)}`);
      const extensionNumber = extensionsOf(message, registry);
      return {
        case: "allExtensionNumbersResponse",
        value: { baseTypeName: message.typeName, extensionNumber },
      };
    }
    default:
      return failed(Code.InvalidArgument, "the request asks for nothing that is known");
  }
}

/** A service, method, message, enum, field, one of, value or extension, by its full name. */
function findSymbol(registry: FileRegistry, name: string): DescFile | undefined {
  const declared = registry.get(name);
  if (declared !== undefined) return declared.file;
  const dot = name.lastIndexOf(".");
  const [parent, member] = [registry.get(name.slice(0, dot)), name.slice(dot + 1)];
  if (parent === undefined) return undefined;
  return membersOf(parent).includes(member) ? parent.file : undefined;
}

function membersOf(parent: NonNullable<ReturnType<FileRegistry["get"]>>): string[] {
  switch (parent.kind) {
    case "service":
      return parent.methods.map(({ name }) => name);
    case "message":
      return [...parent.fields, ...parent.oneofs].map(({ name }) => name);
    case "enum":
      return parent.values.map(({ name }) => name);
    case "extension":
      return [];
  }
}

function extensionsOf({ typeName }: DescMessage, registry: FileRegistry): number[] {
  const numbers: number[] = [];
  for (const type of registry) {
    if (type.kind === "extension" && type.extendee.typeName === typeName) numbers.push(type.number);
  }
  return numbers;
}

/** A file and all that it imports: whoever asks takes the first one for the one asked for. */
function files(file: DescFile | undefined, what: string): Answer {
  if (file === undefined) return notFound(what);
  const found = [...new Set(withImports(file))].reverse();
  const fileDescriptorProto = found.map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

/** A file after all that it imports. */
function withImports(file: DescFile): DescFile[] {
  return [...file.dependencies.flatMap(withImports), file];
}

function notFound(what: string): Answer {
  return failed(Code.NotFound, `there is no ${what}`);
}

function failed(code: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode: code, errorMessage } };
}

function named(text: string): string {
  return text.slice(0, MAX_NAMED_LENGTH);
}
