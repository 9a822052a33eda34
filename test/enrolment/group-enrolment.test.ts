import { status as Code } from "@grpc/grpc-js";
import t, { type Test } from "tap";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import { createTestKey, enrol, register, registration } from "../support/agents/field-agent.js";
import { connectTo, untilLockedOut } from "../support/database/database.js";
import { createTestLog } from "../support/log.js";
import { startTestService, type TestService } from "../support/service.js";
import { shareTestService } from "../support/shared-service.js";

const sharedService = shareTestService(t);

/** Makes what registers next wait, and be written together: somebody holds the token of the one that is being written. */
async function holdUp(t: Test, service: TestService): Promise<{ release: () => Promise<unknown> }> {
  const token = await service.createToken({ organisationSlug: "test" });
  const holder = await connectTo(t, service.database.url);
  await holder.query("begin");
  await holder.query("select from agent_enrolment_tokens for update");
  const heldUp = enrol(service, token, { agentInfo: { hostname: "held-up" }, platformInfo: { ipAddresses: [] } });
  await untilLockedOut(service.database);
  return {
    release: async () => {
      await holder.query("commit");
      return heldUp;
    },
  };
}

t.test("machines that register at the same time are written together, each with what is its own", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  await insertOrganisation(service.store.db, { name: "Other", slug: "other" });
  const { release } = await holdUp(t, service);
  const tags = [{ key: "env", value: "prod" }];
  const own = await service.createToken({ organisationSlug: "test", tags });
  const other = await service.createToken({ organisationSlug: "other", tags: [...tags, { key: "site", value: "A" }] });
  const manual = await service.createToken({ organisationSlug: "other", autoApprove: false, maxUses: 10, tags });
  const registrations = await Promise.all(
    [own, other, manual].flatMap((token) =>
      Array.from({ length: 10 }, (_, index) =>
        registration(createTestKey(), token, {
          agentInfo: { hostname: `host-${token === manual ? index + 5 : index}`, version: "v1" },
          platformInfo: {
            os: "linux",
            arch: "amd64",
            ipAddresses: [`192.0.2.${token === manual ? 100 + index : index}`],
          },
        }),
      ),
    ),
  );
  // The second and the third organisation is the same one: of its two host-5 one is refused, whichever, and so on.
  const settled = await Promise.allSettled(registrations.map((request) => register(service, request)));
  const refused = settled.flatMap((result) => (result.status === "rejected" ? [result.reason.code] : []));
  t.same(refused, Array(5).fill(Code.ALREADY_EXISTS), "machines that match each other");
  t.match(await release(), { agentId: /./ }, "the one that was held up gets in, too");

  const written = await query("select count(distinct xmin::text)::int as transactions from hosts");
  t.ok(written[0]?.transactions <= 10, `26 machines in ${written[0]?.transactions} transactions`);
  const perToken = await query(
    `select t.usage_count as uses, count(a.id)::int as agents, count(h.id)::int as hosts
     from agent_enrolment_tokens t join agents a on a.enrolment_token_id = t.id
     join hosts h on h.agent_id = a.id and h.organisation_id = t.organisation_id and h.hostname = a.hostname
     where a.organisation_id = t.organisation_id group by t.id`,
  );
  t.ok(perToken.every(({ uses, agents, hosts }) => uses === agents && uses === hosts));
  t.equal(
    perToken.reduce((sum, { uses }) => sum + uses, 0),
    26,
  );
  const wrong = await query(
    `select from agents a left join hosts h on h.agent_id = a.id
     left join ingest.agent_registrations r on r.agent_id = a.id
     left join ingest.client_certificates c on c.agent_id = a.id and c.serial = a.client_cert_serial
     where h.id is null or r.agent_id is null or (c.serial is null) <> (a.status = 'pending')
        or (a.status = 'pending') <> (h.metadata -> 'pendingTags' is not null)
        or (select array_agg(status order by created_at, status desc) from agent_status_history where agent_id = a.id)
           <> case a.status when 'pending' then array['pending'] else array['pending', 'active'] end`,
  );
  t.same(wrong, []);
  const counted = await query(
    `select t.usage_count, count(r.id)::int as links from tags t join organisations o on o.id = t.organisation_id
     left join resource_tags r on r.tag_id = t.id and r.organisation_id = t.organisation_id group by t.id`,
  );
  t.equal(counted.length, 3);
  t.ok(counted.every(({ usage_count, links }) => usage_count === links && links > 0));
});

t.test("what cannot be written fails alone", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { logger });
  const { query } = service.database;
  await query("alter table hosts add constraint broken check (hostname <> 'web-07') not valid");
  const { release } = await holdUp(t, service);
  const token = await service.createToken();
  const settled = await Promise.allSettled(Array.from({ length: 12 }, () => enrol(service, token)));
  t.same(
    settled.flatMap((result) => (result.status === "rejected" ? [result.reason.code] : [])),
    [Code.INTERNAL],
  );
  await release();
  t.equal((await query("select from agents")).length, 12);
  t.match(await query("select usage_count from agent_enrolment_tokens order by usage_count"), [
    { usage_count: 1 },
    { usage_count: 11 },
  ]);
  t.ok(lines.some(({ level, msg }) => level === "warn" && /could not be written together/.test(msg)));
});

t.test("machines with very many addresses, and those that share one that counts, are not both new", async (t) => {
  const service = await sharedService();
  const token = await service.createToken();
  const machine = async (hostname: string, ipAddresses: string[]) =>
    register(
      service,
      await registration(createTestKey(), token, { agentInfo: { hostname }, platformInfo: { ipAddresses } }),
    );
  const replies = await Promise.all(
    Array.from({ length: 10 }, (_, index) => [
      machine(`narrow-${index}`, [`10.1.${index}.7`]),
      machine(
        `wide-${index}`,
        Array.from({ length: 40 }, (_, n) => `10.1.${index}.${n}`),
      ),
    ]).flat(),
  );
  for (let index = 0; index < replies.length; index += 2) {
    const pair = replies.slice(index, index + 2).map(({ status }) => status);
    t.same(pair.sort(), ["active", "pending"], `pair ${index / 2}`);
  }
});

t.test("a machine that is being decided about elsewhere keeps no other one waiting", async (t) => {
  const { logger, lines } = createTestLog();
  const service = await startTestService(t, { logger });
  const { query, url } = service.database;
  const token = await service.createToken();
  const holder = await connectTo(t, url);
  await holder.query(
    `select pg_advisory_lock(hashtextextended('ct-ops-ingest/address:' || id || ':192.0.2.1', 0)) from organisations`,
  );
  const machine = (hostname: string, address: string) =>
    enrol(service, token, { agentInfo: { hostname }, platformInfo: { ipAddresses: [address] } });
  const first = machine("web-01", "192.0.2.1");
  await Promise.all(Array.from({ length: 10 }, (_, index) => machine(`db-${index}`, `198.51.100.${index}`)));
  t.equal((await query("select from hosts where hostname = 'web-01'")).length, 0, "the first one still waits");
  t.notOk(
    lines.some(({ msg }) => /could not be written together/.test(msg)),
    "they were written together, without it",
  );
  await holder.query("select pg_advisory_unlock_all()");
  t.match(await first, { agentId: /./ });
});

t.test("a key that became known meanwhile does not hold up those it is written with", async (t) => {
  const service = await sharedService();
  const { query } = service.database;
  const key = createTestKey();
  // As if another instance had enrolled the key at the last moment, for a machine that has nothing in common with this.
  await query(
    `insert into agents (id, organisation_id, hostname, public_key)
     select 'known', id, 'elsewhere', 'not yet ' || $1 from organisations`,
    [key.rawPem],
  );
  await query(`create function take_key() returns trigger language plpgsql as $$
    begin update agents set public_key = new.public_key where id = 'known'; return new; end $$`);
  await query(`create trigger take_key before insert on agents for each row when (new.hostname = 'here')
    execute function take_key()`);
  const { release } = await holdUp(t, service);
  const token = await service.createToken();
  const settled = await Promise.allSettled([
    register(service, await registration(key, token, { agentInfo: { hostname: "here" }, platformInfo: {} })),
    ...Array.from({ length: 10 }, () => enrol(service, token)),
  ]);
  t.equal(settled.filter(({ status }) => status === "fulfilled").length, 11);
  t.match(settled[0], { value: { status: "pending", agentId: "known" } }, "answered from its row");
  await release();
  const [written] = await query(
    "select count(distinct xmin::text)::int as transactions from hosts where hostname like 'web-%'",
  );
  t.ok(written?.transactions <= 5, `10 machines in ${written?.transactions} transactions`);
});
