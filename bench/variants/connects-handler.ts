/**
 * Loaded with `--import` before a service, this takes our own handler of gRPC streams out of it: Connect's handler answers
 * everything.
 */
import { register } from "node:module";

const HOOKS = `
export async function resolve(specifier, context, next) {
  if (!specifier.endsWith("/grpc-stream-handler.js")) return next(specifier, context);
  const stub = "export const createGrpcStreamHandler = () => () => undefined;";
  return { url: "data:text/javascript," + encodeURIComponent(stub), format: "module", shortCircuit: true };
}`;

register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);
