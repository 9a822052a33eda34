import { gzipSync } from "node:zlib";
import t from "tap";
import { enrol } from "../support/agents/field-agent.js";
import { startTestService } from "../support/service.js";
import {
  connectRaw,
  envelope,
  type RawCall,
  type RawProtocol,
  rawHeaders,
  readAnswer,
} from "../support/wire/raw-call.js";

/** They arrive together, so that answers wait for what is being written. */
const AT_ONCE = 20;

interface Refusal {
  name: string;
  method: RawCall["method"];
  headers?: RawCall["headers"];
  body: Buffer;
  isEnrolled?: boolean;
  atOnce?: number;
  code: number;
  connectCode?: string;
  message: RegExp;
}

const message = envelope(Buffer.from([0x0a, 1, 0x61]));
const refusals: Refusal[] = [
  {
    name: "a compressed registration",
    method: "Register",
    headers: { "grpc-encoding": "gzip" },
    body: envelope(gzipSync(Buffer.alloc(100_000)), 1),
    code: 12,
    message: /compressed with gzip/,
  },
  {
    name: "a registration that is too large",
    method: "Register",
    body: envelope(Buffer.alloc(70_000)).subarray(0, 2_000),
    code: 8,
    message: /larger than the 65536 bytes/,
  },
  {
    name: "flags of an envelope that nobody defined",
    method: "Register",
    body: envelope(message, 0x40),
    code: 3,
    message: /flags 64/,
  },
  {
    name: "a stream without a certificate",
    method: "Heartbeat",
    body: message,
    code: 16,
    connectCode: "unauthenticated",
    message: /client certificate/,
  },
  {
    name: "a compression that nobody has",
    method: "Heartbeat",
    headers: { "grpc-encoding": "zip" },
    body: message,
    isEnrolled: true,
    // Of more sessions the oldest would be cut.
    atOnce: 2,
    code: 12,
    message: /compressed with zip/,
  },
  {
    name: "a deadline that has passed",
    method: "Heartbeat",
    headers: { "grpc-timeout": "0m" },
    body: message,
    isEnrolled: true,
    code: 4,
    message: /timed out/,
  },
  {
    name: "too many streams",
    method: "Heartbeat",
    body: message,
    isEnrolled: true,
    code: 8,
    connectCode: "resource_exhausted",
    message: /too many calls/,
  },
];
const protocols: RawProtocol[] = ["grpc", "grpc-web", "connect stream"];

t.test("each refusal says what it is, also of many that arrive together", async (t) => {
  const calls = { perMinute: 1, burst: 2 * AT_ONCE + 4 };
  const unpaced = { perMinute: Number.POSITIVE_INFINITY, burst: 1 };
  const service = await startTestService(t, {
    timing: { pace: { calls, registrations: unpaced, heartbeats: unpaced } },
  });
  const agent = await enrol(service, await service.createToken());
  for (const refusal of refusals) {
    const { name, method, headers, body, atOnce = AT_ONCE } = refusal;
    for (const protocol of protocols) {
      // Only streams have envelopes there, and these headers are gRPC's.
      if (protocol === "connect stream" && method === "Register") continue;
      if (protocol !== "grpc" && headers !== undefined) continue;
      for (const isEnded of [true, false]) {
        const session = await connectRaw(service, refusal.isEnrolled ? agent : undefined);
        const answers = Array.from({ length: atOnce }, () => {
          const stream = session.request(rawHeaders({ method, protocol, headers: headers ?? {} }));
          stream.on("error", () => {});
          if (isEnded) stream.end(body);
          else stream.write(body);
          return readAnswer(stream, protocol);
        });
        const code = protocol === "connect stream" ? refusal.connectCode : refusal.code;
        const expected = Array.from({ length: atOnce }, () => ({ code, message: refusal.message }));
        t.match(await Promise.all(answers), expected, `${name}, ${protocol}, ${isEnded ? "ended" : "not ended"}`);
        session.destroy();
      }
    }
  }
});
