import { chmod, mkdir, readFile, readlink, rename, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { status as Code } from "@grpc/grpc-js";
import { decodeProtectedHeader } from "jose";
import t from "tap";
import { enrol, heartbeat, openLiveStream, openStream, register, registration } from "../support/agents/field-agent.js";
import { runCommand } from "../support/commands/cli.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";

interface ListedKey {
  kid: string;
  state: string;
}

t.test("keys rotate, as a service and its tokens see it", async (t) => {
  const service = await startTestService(t, { timing: { signingKeys: { fileWatchMs: 10, readMs: 20 } } });
  const path = service.env.INGEST_JWT_KEY_FILE ?? "";
  const list = async () =>
    JSON.parse((await runCommand(service.env, ["keys", "list", "--json"])).output) as ListedKey[];
  const agent = await enrol(service, await service.createToken());
  const newToken = async () => (await register(service, await registration(agent.key, ""))).jwtToken;
  const old = decodeProtectedHeader(agent.jwt).kid ?? "";
  t.match(await runCommand(service.env, ["keys", "retire", old]), { exitCode: 1, errors: /keys rotate/ });

  // A mounted secret: the file is a link, and a group may read it.
  await mkdir(join(service.directory, "mounted"));
  const target = join(service.directory, "mounted", "key.pem");
  await rename(path, target);
  await symlink(target, path);
  await chmod(target, 0o640);
  const before = await readFile(path, "utf8");
  const umask = process.umask(0o077);
  t.teardown(() => process.umask(umask));
  t.match(await runCommand(service.env, ["keys", "rotate"]), { exitCode: 0, output: /^\S+ holds key \S{43}$/ });
  t.not(await readFile(path, "utf8"), before);
  t.equal(await readlink(path), target);
  t.equal((await stat(path)).mode & 0o777, 0o640);
  const [{ kid = "" } = {}] = (await list()).filter(({ state }) => state === "announced");
  t.ok(kid);
  t.equal(decodeProtectedHeader(await newToken()).kid, old, "the new key waits until every verifier has it");
  t.match((await runCommand(service.env, ["keys", "list"])).output, /in the key file, signs within six minutes/);

  await service.database.query("update ingest.signing_keys set created_at = now() - interval '6 minutes'");
  const jwt = await eventually(newToken, (token) => decodeProtectedHeader(token).kid === kid);
  t.same(
    (await list()).map(({ kid, state }) => [kid, state]).sort(),
    [
      [kid, "signs"],
      [old, "signs elsewhere"],
    ].sort(),
  );
  const stream = await openLiveStream(service, agent);
  stream.end();
  await stream.ended;

  t.match(await runCommand(service.env, ["keys", "retire", old]), { exitCode: 1, errors: /--force/ });
  t.match(await runCommand(service.env, ["keys", "retire", old, "--force", "--yes"]), { exitCode: 0 });
  const refusal = await eventually(
    async () => {
      const refused = openStream(service, agent);
      refused.send(heartbeat(agent.jwt));
      await refused.next().catch(() => {});
      refused.end();
      return refused.ended;
    },
    ({ code }) => code !== Code.OK,
  );
  t.match(refusal, { code: Code.UNAUTHENTICATED, details: /not published/ });
  const good = await openLiveStream(service, { ...agent, jwt });
  good.end();
  await good.ended;
  t.match(await runCommand(service.env, ["keys", "retire", old]), { exitCode: 1, errors: /no key \S+ is published/ });
});

t.test(
  "keys rotate makes the file where there is none, and a key that last signed long ago only verifies",
  async (t) => {
    const service = await startTestService(t);
    await service.close();
    await service.database.query("update ingest.signing_keys set published_until = now() + interval '24 hours'");
    const env = { ...service.env, INGEST_JWT_KEY_FILE: join(service.directory, "new", "key.pem") };
    t.match(await runCommand(env, ["keys", "rotate"]), { exitCode: 0 });
    t.equal((await stat(env.INGEST_JWT_KEY_FILE)).mode & 0o777, 0o600);
    const { output } = await runCommand(env, ["keys", "list", "--json"]);
    t.match(JSON.parse(output), [{ state: "verifies" }, { state: "signs" }]);
  },
);

t.test("a kid that begins with a dash is a kid", async (t) => {
  const service = await startTestService(t);
  const kid = `-D${"x".repeat(41)}`;
  for (const args of [[kid], [kid, "--force"], ["--force", kid]]) {
    const { exitCode, errors } = await runCommand(service.env, ["keys", "retire", ...args]);
    t.equal(exitCode, 1, args.join(" "));
    t.match(errors, kid);
    t.notMatch(errors, /unknown option/);
  }
});

t.test("keys list says which key signs: with one, after a rotation, and when that is over", async (t) => {
  const service = await startTestService(t, { timing: { signingKeys: { fileWatchMs: 10, readMs: 20 } } });
  const states = async () =>
    (JSON.parse((await runCommand(service.env, ["keys", "list", "--json"])).output) as ListedKey[])
      .map(({ state }) => state)
      .sort();
  t.same(await states(), ["signs"], "a minute old, and nobody else could sign");
  await runCommand(service.env, ["keys", "rotate"]);
  t.same(await states(), ["announced", "signs elsewhere"]);
  await service.database.query("update ingest.signing_keys set created_at = now() - interval '7 minutes'");
  t.same(await states(), ["signs", "signs elsewhere"]);
  const retire = (...more: string[]) => runCommand(service.env, ["keys", "retire", old, "--force", ...more]);
  const [{ kid: old = "" } = {}] = (
    JSON.parse((await runCommand(service.env, ["keys", "list", "--json"])).output) as ListedKey[]
  ).filter(({ state }) => state === "signs elsewhere");
  t.match(await retire("--dry-run"), { exitCode: 0, output: /^would retire / });
  t.match(await retire(), { exitCode: 1, errors: /say --yes/ });
  // A service that has not changed over yet publishes it again.
  const left = await eventually(
    async () => {
      await retire("--yes");
      return states();
    },
    ({ length }) => length === 1,
  );
  t.same(left, ["signs"]);
});
