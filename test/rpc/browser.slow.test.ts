import type { Browser } from "playwright-core";
import t from "tap";
import { createTestCsr, createTestKey } from "../support/agents/field-agent.js";
import { startChromium } from "../support/browser/chromium.js";
import { servePage } from "../support/browser/page-server.js";
import { needProgram } from "../support/programs.js";
import { startTestService, type TestService } from "../support/service.js";

/** What a page does with the service; each function returns what JSON can say. */
const SCRIPT = `
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { IngestService } from "/gen/agent/v1/ingest_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "/gen/google/rpc/error_details_pb.js";
import { Health } from "/gen/grpc/health/v1/health_pb.js";

const TRANSPORTS = { Connect: createConnectTransport, "gRPC-Web": createGrpcWebTransport };
const fromHex = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
const client = (service, { protocol, baseUrl }) =>
  createClient(service, TRANSPORTS[protocol]({ baseUrl, useBinaryFormat: true }));

function tell(thrown) {
  const error = ConnectError.from(thrown);
  return {
    code: Code[error.code],
    message: error.rawMessage,
    hasRequestId: error.metadata.has("x-request-id"),
    info: error.findDetails(ErrorInfoSchema).map(({ reason, domain }) => ({ reason, domain })),
    fields: error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field)),
  };
}

globalThis.register = ({ csrHex, ...request }, where) =>
  client(IngestService, where)
    .register({ ...request, csrDer: fromHex(csrHex) }, { headers: { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" } })
    .then(({ status }) => ({ status }), tell);

globalThis.watchHealth = async (where) => {
  for await (const { status } of client(Health, where).watch({})) return { status };
};

globalThis.get = (url) => fetch(url).then(
  async (response) => ({ status: response.status, text: await response.text() }),
  ({ name }) => ({ name }),
);

globalThis.isReady = true;
`;

const SERVING = 1;
const chromium = await needProgram("chromium");

t.test("a page of another origin, in a browser", { skip: chromium.skip }, async (t) => {
  const allowed = await servePage(t, SCRIPT);
  const service = await startTestService(t, { env: { INGEST_CORS_ORIGINS: allowed } });
  const browser = await startChromium(t, chromium.path, service.ca);
  const page = await openPage(browser, allowed);
  const token = await service.createToken();

  for (const protocol of ["Connect", "gRPC-Web"]) {
    const where = { protocol, baseUrl: `https://${service.address}` };

    t.test(`calls Register over ${protocol}`, async (t) => {
      const hostname = `page-${protocol.toLowerCase()}`;
      t.same(await page("register", request(token, hostname), where), { status: "active" });
      t.same(await page("register", request("ctops_nothing", hostname), where), {
        code: "Unauthenticated",
        message: "the enrolment token cannot be used; ask the operator of CT-Ops for a new one",
        hasRequestId: true,
        info: [{ reason: "ENROLMENT_TOKEN_UNUSABLE", domain: "ct-ops-ingest" }],
        fields: [],
      });
      t.match(await page("register", { ...request(token, hostname), publicKey: "" }, where), {
        code: "InvalidArgument",
        fields: ["public_key"],
      });
    });

    t.test(`reads a stream over ${protocol}`, async (t) => {
      t.same(await page("watchHealth", where), { status: SERVING });
    });
  }

  t.test("looks at the service's health", async (t) => {
    t.same(await page("get", healthOf(service)), { status: 200, text: "ok" });
  });

  t.test("is kept off where its origin is not listed", async (t) => {
    const other = await openPage(browser, await servePage(t, SCRIPT));
    const before = await countAgents(service);
    for (const protocol of ["Connect", "gRPC-Web"]) {
      const where = { protocol, baseUrl: `https://${service.address}` };
      const result = await other("register", request(token, "kept-off"), where);
      t.match(result, { code: "Unknown", message: /Failed to fetch/, info: [] }, protocol);
    }
    t.same(await other("get", healthOf(service)), { name: "TypeError" });
    t.equal(await countAgents(service), before, "the browser did not even send it");
  });
});

function healthOf({ httpPort }: TestService): string {
  return `http://127.0.0.1:${httpPort}/healthz`;
}

function request(orgToken: string, hostname: string) {
  const key = createTestKey();
  return { orgToken, publicKey: key.rawPem, csrHex: createTestCsr(key).toString("hex"), agentInfo: { hostname } };
}

async function countAgents({ database }: TestService): Promise<number> {
  return (await database.query("select from agents")).length;
}

/** Opens a page, and calls a function of its script by name. */
async function openPage(browser: Browser, origin: string) {
  const page = await browser.newPage();
  await page.goto(origin);
  await page.waitForFunction("globalThis.isReady");
  return (name: string, ...args: unknown[]): Promise<unknown> =>
    page.evaluate(`${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`);
}
