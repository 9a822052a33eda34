-- Tells every instance which agents to look at again. Rare changes only: a notification serialises commits over the
-- whole database, so a heartbeat, or active <-> offline, must never send one.
-- No column stands in the trigger itself, which would keep the platform from altering it; and the functions compare
-- through transition tables, because the plan of an expression on new.status would outlive the column's type and fail.
-- The join is made only where the new rows alone show that there is something to tell: it would double what a batch of
-- heartbeats costs.
-- left(): a payload over 8000 bytes would fail the platform's statement; the hint is then lost, and the scan finds it.
create or replace function ingest.notify_agents_changed() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    perform pg_notify('ct_ops_ingest', 'agent:' || left(o.id, 200)) from old_rows o;
  elsif exists (select from new_rows n where n.status::text not in ('active', 'offline') or n.deleted_at is not null) then
    perform pg_notify('ct_ops_ingest', 'agent:' || left(o.id, 200))
    from old_rows o
    join new_rows n on n.id = o.id
    where (n.status::text is distinct from o.status::text and n.status::text not in ('active', 'offline'))
       or n.deleted_at is distinct from o.deleted_at;
  end if;
  return null;
end $$;
--> statement-breakpoint
create or replace function ingest.notify_hosts_changed() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    perform pg_notify('ct_ops_ingest', 'agent:' || left(o.agent_id, 200)) from old_rows o where o.agent_id is not null;
  elsif exists (select from new_rows n where n.deleted_at is not null or n.agent_id is null) then
    perform pg_notify('ct_ops_ingest', 'agent:' || left(o.agent_id, 200))
    from old_rows o
    join new_rows n on n.id = o.id
    where o.agent_id is not null
      and (n.deleted_at is distinct from o.deleted_at or n.agent_id is distinct from o.agent_id);
  end if;
  return null;
end $$;
--> statement-breakpoint
create or replace function ingest.notify_certificates_revoked() returns trigger language plpgsql as $$
begin
  perform pg_notify('ct_ops_ingest', 'certificate:' || left(n.serial, 200)) from new_rows n;
  return null;
end $$;
--> statement-breakpoint
create or replace function ingest.notify_agent_cas_changed() returns trigger language plpgsql as $$
begin
  perform pg_notify('ct_ops_ingest', 'agent_cas');
  return null;
end $$;
--> statement-breakpoint
create or replace trigger ingest_agents_updated after update on public.agents
  referencing old table as old_rows new table as new_rows
  for each statement execute function ingest.notify_agents_changed();
--> statement-breakpoint
create or replace trigger ingest_agents_deleted after delete on public.agents
  referencing old table as old_rows for each statement execute function ingest.notify_agents_changed();
--> statement-breakpoint
create or replace trigger ingest_hosts_updated after update on public.hosts
  referencing old table as old_rows new table as new_rows
  for each statement execute function ingest.notify_hosts_changed();
--> statement-breakpoint
create or replace trigger ingest_hosts_deleted after delete on public.hosts
  referencing old table as old_rows for each statement execute function ingest.notify_hosts_changed();
--> statement-breakpoint
create or replace trigger ingest_certificates_revoked after insert on public.revoked_certificates
  referencing new table as new_rows for each statement execute function ingest.notify_certificates_revoked();
--> statement-breakpoint
create or replace trigger ingest_agent_cas_changed after insert or update or delete on public.certificate_authorities
  for each statement execute function ingest.notify_agent_cas_changed();
