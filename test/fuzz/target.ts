import { X509Certificate } from "node:crypto";
import type { ClientHttp2Session } from "node:http2";
import type { Test } from "tap";
import { IngestError } from "../../dist/errors.js";
import { openAgentCas } from "../../dist/identity/agent-ca/agent-cas.js";
import { verifyClientCertificate } from "../../dist/identity/client-certificates/certificate-verification.js";
import { readPresentedCertificate } from "../../dist/identity/client-certificates/presented-certificate.js";
import { KeyEvents } from "../../dist/identity/key-events.js";
import { verifyAccessToken } from "../../dist/identity/signing-keys/access-token.js";
import { openSigningKeyRing } from "../../dist/identity/signing-keys/signing-key-ring.js";
import { enrol, type TestIdentity } from "../support/agents/field-agent.js";
import { createTestLog } from "../support/log.js";
import { ENCRYPTION_SECRET, startTestService } from "../support/service.js";
import { connectRaw, rawHeaders } from "../support/wire/raw-call.js";
import type { Input, Seeds } from "./inputs.js";

/** HTTP/2 clients take lists of headers of at least so many bytes. */
const MAX_HEADER_BYTES = 8 * 1024;
const ANSWER_TIMEOUT_MS = 20_000;
/** OK, and whatever says what is wrong with a request. Neither UNKNOWN, INTERNAL, UNAVAILABLE nor DATA_LOSS. */
const ALLOWED = new Set([0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16]);
const ALLOWED_NAMES =
  /^(ok|canceled|invalid_argument|deadline_exceeded|not_found|already_exists|permission_denied|resource_exhausted|failed_precondition|aborted|out_of_range|unimplemented|unauthenticated)$/;
/** The specification of gRPC wants INTERNAL here. */
const INTERNAL_BY_RULE = "does not say how";

/** What an input came to. */
export interface Outcome {
  /** What is wrong; undefined when all is as it should be. */
  finding: string | undefined;
  /** Whether the service refused it, so that nothing may be stored. */
  isRefused: boolean;
}

/** A service that inputs are tried on. */
export interface Target {
  seeds: Seeds;
  attempt(input: Input): Promise<Outcome>;
  /** What a refused request must not change. */
  fingerprint(): Promise<string>;
}

/** Starts a service with an agent. */
export async function openTarget(t: Test): Promise<Target> {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { logger, env: { INGEST_REGISTER_REFUSALS_PER_MINUTE: "0" } });
  const token = await service.createToken();
  const agent: TestIdentity = await enrol(service, token);
  const certificateDer = new X509Certificate(agent.certificatePem).raw;
  const events = new KeyEvents(logger);
  const keys = await openSigningKeyRing({ db: service.store.db, path: service.env.INGEST_JWT_KEY_FILE ?? "", events });
  const cas = await openAgentCas({ database: service.store, encryptionSecret: ENCRYPTION_SECRET, events });
  t.teardown(() => Promise.all([keys.close(), cas.close()]));
  const sessions = new Map<boolean, ClientHttp2Session>();
  const connect = async (isIdentified: boolean) => {
    const known = sessions.get(isIdentified);
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = await connectRaw(service, isIdentified ? agent : undefined);
    session.on("error", () => {});
    sessions.set(isIdentified, session);
    return session;
  };
  t.teardown(() => {
    for (const session of sessions.values()) session.destroy();
  });

  const attemptCall = async (input: Input & { kind: "call" }): Promise<Outcome> => {
    const answer = await exchange(await connect(input.isIdentified), input);
    return { finding: findWrong(answer), isRefused: answer.code !== 0 && answer.code !== "ok" && !answer.hasMessages };
  };
  /** What is read outside of a call may fail with an error of ours, and with no other one. */
  const attemptReading = async (work: () => unknown): Promise<Outcome> => {
    try {
      await work();
      return { finding: undefined, isRefused: true };
    } catch (error) {
      return { finding: error instanceof IngestError ? undefined : `threw ${String(error)}`, isRefused: true };
    }
  };
  return {
    seeds: { agent, certificateDer, token },
    attempt: async (input) => {
      const logged = lines.length;
      const outcome = await (input.kind === "call"
        ? attemptCall(input)
        : attemptReading(() => {
            if (input.kind === "token") return verifyAccessToken(keys, input.body.toString("latin1"));
            readPresentedCertificate(input.body);
            return verifyClientCertificate(input.body, cas.trusted);
          }));
      const error = lines.slice(logged).find(({ level }) => level === "error");
      if (lines.length > 1_000) lines.splice(0);
      return error === undefined ? outcome : { ...outcome, finding: `logged ${JSON.stringify(error).slice(0, 2_000)}` };
    },
    fingerprint: async () => {
      const [row] = await service.database.query(
        `select (select count(*) from agents) as agents, (select count(*) from hosts) as hosts,
                (select count(*) from host_metrics) as metrics, (select sum(usage_count) from agent_enrolment_tokens) as uses,
                (select count(*) from ingest.client_certificates) as certificates, (select count(*) from tags) as tags,
                (select count(*) from software_packages) as packages, (select count(*) from check_results) as results`,
      );
      return JSON.stringify(row);
    },
  };
}

interface Answer {
  code: number | string;
  message: string;
  headerBytes: number;
  hasMessages: boolean;
}

function findWrong({ code, message, headerBytes }: Answer): string | undefined {
  if (headerBytes > MAX_HEADER_BYTES) return `${headerBytes} bytes of headers`;
  const isAllowed = typeof code === "number" ? ALLOWED.has(code) : ALLOWED_NAMES.test(code) || /^HTTP 4/.test(code);
  return isAllowed || message.replaceAll("%20", " ").includes(INTERNAL_BY_RULE)
    ? undefined
    : `answered ${code}: ${message}`;
}

async function exchange(session: ClientHttp2Session, { call, body }: Input & { kind: "call" }): Promise<Answer> {
  const stream = session.request(rawHeaders(call));
  const all: Record<string, unknown> = {};
  const pieces: Buffer[] = [];
  const take = (received: object) => Object.assign(all, received);
  stream
    .on("response", take)
    .on("trailers", take)
    .on("error", () => {});
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  stream.end(body);
  const isAnswered = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), ANSWER_TIMEOUT_MS);
    stream.once("close", () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
  stream.destroy();
  const headerBytes = Object.entries(all).reduce(
    (sum, [name, value]) => sum + name.length + String(value).length + 32,
    0,
  );
  const content = Buffer.concat(pieces);
  const answer = (code: number | string, message: unknown = "") => {
    const hasMessages = call.protocol === "connect unary" ? code === 0 : content.length > 5 && content[0] === 0;
    return { code, message: String(message), headerBytes, hasMessages };
  };
  if (!isAnswered) return answer("no answer");
  if ("grpc-status" in all) return answer(Number(all["grpc-status"]), all["grpc-message"]);
  const status = Number(all[":status"]);
  if (call.protocol === "connect unary") {
    if (status === 200) return answer(0);
    const { code, message } = JSON.parse(content.toString());
    return answer(code, message);
  }
  if (status !== 200) return answer(`HTTP ${status}`);
  const last = lastEnvelope(content).toString();
  if (call.protocol === "grpc-web") return answer(Number(/grpc-status: (\d+)/.exec(last)?.[1]), last);
  const { error } = JSON.parse(last);
  return answer(error?.code ?? 0, error?.message);
}

function lastEnvelope(body: Buffer): Buffer {
  let last = Buffer.alloc(0);
  for (let at = 0; at + 5 <= body.length; ) {
    const length = body.readUInt32BE(at + 1);
    last = Buffer.from(body.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return last;
}
