import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { enrol, heartbeat, openLiveStream, openStream, type TestIdentity } from "../support/agents/field-agent.js";
import { startTestService, type TestService } from "../support/service.js";
import { answerToStream, forgeVictimCertificate, forgeVictimToken, setScene } from "../support/wire/attack-scene.js";

t.test("what only looks suspicious is let in", async (t) => {
  const scene = await setScene(t);
  const { victim } = scene;
  const now = Date.now();
  const nowS = Math.floor(now / 1000);
  const accepted: [string, typeof victim | Awaited<ReturnType<typeof forgeVictimCertificate>>, string][] = [
    [
      "a certificate that expired less than 60 s ago",
      await forgeVictimCertificate(scene, { notAfter: new Date(now - 30_000) }),
      victim.jwt,
    ],
    [
      "a certificate that is good in less than 60 s",
      await forgeVictimCertificate(scene, { notBefore: new Date(now + 50_000) }),
      victim.jwt,
    ],
    ["a certificate without key usage", await forgeVictimCertificate(scene, {}), victim.jwt],
    ["a JWT that expired less than 60 s ago", victim, await forgeVictimToken(scene, { claims: { exp: nowS - 30 } })],
    ["a JWT of the earlier service: no kid, bound to no key", victim, await forgeVictimToken(scene)],
  ];
  for (const [name, credentials, jwt] of accepted) {
    t.match(await answerToStream(scene, credentials, jwt), { code: Code.OK }, name);
  }
});

t.test("a stream without a client certificate is refused", async (t) => {
  const service = await startTestService(t);
  const { jwt } = await enrol(service, await service.createToken());
  const stream = openStream(service);
  stream.send(heartbeat(jwt));
  t.match(await stream.ended, { code: Code.UNAUTHENTICATED, details: /none was presented/ });
});

t.test("pending and revoked agents are refused, and a stream ends when its agent is revoked", async (t) => {
  const service = await startTestService(t);
  const a = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, a);
  await service.database.query("update agents set status = 'revoked'");
  stream.send(heartbeat(a.agentId));
  t.match(await stream.ended, { code: Code.PERMISSION_DENIED, details: /is revoked/ });
  t.match(await refusalOf(service, a), { code: Code.PERMISSION_DENIED, details: /is revoked/ });
  await service.database.query("update agents set status = 'pending'");
  t.match(await refusalOf(service, a), { code: Code.PERMISSION_DENIED, details: /is pending/ });
  t.match(await service.database.query("select status from agents"), [{ status: "pending" }], "nothing overwrites it");
});

async function refusalOf(service: TestService, identity: TestIdentity) {
  const stream = openStream(service, identity);
  stream.send(heartbeat(identity.jwt));
  return stream.ended;
}
