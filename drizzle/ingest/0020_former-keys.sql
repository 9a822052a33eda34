-- Two things that have to be so whoever changes agents, the web app included. Both stand where the triggers on agents look
-- anyway: a batch of heartbeats pays nothing for them.
-- The key of an agent that is deleted is remembered: a machine that comes back with it waits for an operator.
-- The addresses of a host whose agent becomes pending are null until its first heartbeat: the web app cannot approve it
-- otherwise. They are kept as those it registered with, which stand for the host's own meanwhile.
-- The web app's statements must never fail for this, and its role need have no rights in this schema.
create or replace function ingest.notify_agents_changed() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'DELETE' then
    begin
      insert into ingest.former_keys as f (public_key, agent_id, fate)
      select o.public_key, o.id, 'deleted' from old_rows o where o.public_key not like 'released by deleted agent %'
      order by o.public_key
      on conflict (public_key) do update
        set agent_id = excluded.agent_id, fate = excluded.fate, since = now() where f.fate <> 'rejected';
    exception when others then
      raise warning 'ct-ops-ingest could not remember the keys of deleted agents: %', sqlerrm;
    end;
    perform pg_notify('ct_ops_ingest', 'agent:' || left(o.id, 200)) from old_rows o;
  elsif exists (select from new_rows n where n.status::text not in ('active', 'offline') or n.deleted_at is not null) then
    if exists (
      select from new_rows n join old_rows o on o.id = n.id
      where n.status::text = 'pending' and o.status::text <> 'pending'
    ) then
      begin
        perform ingest.put_addresses_aside(array(
          select n.id from new_rows n join old_rows o on o.id = n.id
          where n.status::text = 'pending' and o.status::text <> 'pending'));
      exception when others then
        raise warning 'ct-ops-ingest could not put addresses aside: %', sqlerrm;
      end;
    end if;
    perform pg_notify('ct_ops_ingest', 'agent:' || left(o.id, 200))
    from old_rows o
    join new_rows n on n.id = o.id
    where (n.status::text is distinct from o.status::text and n.status::text not in ('active', 'offline'))
       or n.deleted_at is distinct from o.deleted_at;
  end if;
  return null;
end $$;
--> statement-breakpoint
create or replace function ingest.put_addresses_aside(agent_ids text[]) returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  insert into ingest.agent_registrations as r (agent_id, registered_at, identifying_addresses)
  select distinct on (h.agent_id) h.agent_id, a.created_at,
         array(select jsonb_array_elements_text(h.ip_addresses) limit 128)
  from public.hosts h join public.agents a on a.id = h.agent_id
  where h.agent_id = any(agent_ids) and h.deleted_at is null and jsonb_typeof(h.ip_addresses) = 'array'
  order by h.agent_id, h.created_at, h.id
  on conflict (agent_id) do update set identifying_addresses = excluded.identifying_addresses;
  update public.hosts set ip_addresses = null where agent_id = any(agent_ids) and ip_addresses is not null;
end $$;
--> statement-breakpoint
select ingest.put_addresses_aside(array(select id from public.agents where status::text = 'pending' and deleted_at is null));
