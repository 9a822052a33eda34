import { connect as connectPlain } from "node:net";
import { type ConnectionOptions, connect } from "node:tls";
import t from "tap";
import { runCommand } from "../support/commands/cli.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { startTestService, type TestService } from "../support/service.js";

async function sendPlain({ grpcPort }: TestService, bytes: string | undefined): Promise<void> {
  const socket = connectPlain(grpcPort, "127.0.0.1");
  socket.on("error", () => {});
  if (bytes === undefined) socket.end();
  else socket.write(bytes, "latin1");
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
}

async function shakeHands({ grpcPort }: TestService, options: ConnectionOptions): Promise<void> {
  const socket = connect({ port: grpcPort, host: "localhost", rejectUnauthorized: false, ...options });
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("close", resolve));
}

t.test("a TLS handshake that fails is told of with its reason, and one that is broken off is not", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { logger });
  await sendPlain(service, undefined);
  await sendPlain(service, "GET / HTTP/1.1\r\n\r\n");
  await sendPlain(service, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
  await shakeHands(service, { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" });
  await shakeHands(service, { ALPNProtocols: ["spdy"] });
  await shakeHands(service, { ciphers: "AES128-SHA@SECLEVEL=0", maxVersion: "TLSv1.2" });
  const expected = [
    /^plain HTTP: the port takes TLS$/,
    /the PROXY header of a balancer/,
    /no TLS version in common/,
    /no protocol in common/,
    /no cipher suite in common/,
  ];
  const told = () => lines.filter(({ msg }) => msg === "a TLS handshake failed");
  await eventually(
    async () => told().length,
    (count) => count >= expected.length,
  );
  t.match(
    told(),
    expected.map((reason) => ({ level: "warn", remoteAddress: "127.0.0.1", reason })),
  );
  // Written once a second.
  const { output } = await eventually(
    () => runCommand(service.env, ["doctor", "--recent", "--json"]),
    (result) => JSON.parse(result.output).length > 0,
  );
  t.match(JSON.parse(output)[0], { method: "TLS", reason: "tls_handshake_failed", remoteAddress: "127.0.0.1" });
  t.match((await runCommand(service.env, ["doctor", "--recent"])).output, /TIME +FROM +CALL.*\n.*127\.0\.0\.1 +TLS/);
});
