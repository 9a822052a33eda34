-- What the web app changes by itself is published as what the service changes: in the transaction of the change, where an
-- instance publishes. A line of the history that names an actor is the web app's; the service writes none.
-- Its statements must never fail for this: what goes wrong is a warning in PostgreSQL's log. The web app need have no rights
-- in this schema, so the functions have their owner's.
-- As in the other triggers: none names a column of the platform, and the functions read transition tables.
create or replace function ingest.publish_status_changes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from new_rows n where n.actor_id is not null)
    or not exists (select from ingest.publishers) then
    return null;
  end if;
  begin
    with changed as materialized (
      select n.id, n.agent_id, n.organisation_id, n.status::text as status, earlier.status as earlier, a.hostname,
        coalesce(n.reason, 'by the web app') as reason,
        (select h.id from public.hosts h where h.agent_id = n.agent_id and h.deleted_at is null limit 1) as host_id,
        to_char(n.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
      from new_rows n
      join public.agents a on a.id = n.agent_id
      left join lateral (
        select h.status::text as status
        from public.agent_status_history h
        where h.agent_id = n.agent_id and h.id <> n.id and h.created_at <= n.created_at
        order by h.created_at desc
        limit 1
      ) earlier on true
      where n.actor_id is not null and n.status::text is distinct from earlier.status
    ), events as materialized (
      select *, case
        when status = 'active' and earlier = 'pending' then 'agent.approved'
        when status = 'revoked' and earlier = 'pending' then 'agent.rejected'
        when status = 'revoked' then 'agent.revoked'
        when status = 'pending' and earlier = 'revoked' then 'agent.unrevoked'
      end as type
      from changed
    )
    insert into ingest.outbox (topic, messages, message_count, created_at)
    select 'agent.status', json_agg(json_build_object(
      'message_id', id, 'agent_id', agent_id, 'host_id', host_id, 'org_id', organisation_id,
      'from', earlier, 'to', status, 'reason', reason, 'at', at)), count(*), clock_timestamp()
    from changed
    having count(*) > 0
    union all
    select 'events.raw', json_agg(json_strip_nulls(json_build_object(
      'message_id', ingest.new_message_id(), 'type', type, 'at', at, 'agent_id', agent_id, 'hostname', hostname,
      'org_id', organisation_id, 'reason', case when status = 'revoked' then reason end))), count(*), clock_timestamp()
    from events
    where type is not null
    having count(*) > 0;
    perform pg_notify('ct_ops_ingest', 'outbox');
  exception when others then
    raise warning 'ct-ops-ingest could not publish a change of status: %', sqlerrm;
  end;
  return null;
end $$;
--> statement-breakpoint
-- In the form of the platform's ids.
create or replace function ingest.new_message_id() returns text language sql volatile
set search_path = pg_catalog, pg_temp as $$
  select 'm' || left(replace(gen_random_uuid()::text, '-', ''), 23)
$$;
--> statement-breakpoint
-- History and host of an agent that the web app deletes are gone before it. The service tells of its own deletions itself.
create or replace function ingest.publish_deletions() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if current_setting('ct_ops_ingest.tells_itself', true) = 'on'
    or not exists (select from old_rows)
    or not exists (select from ingest.publishers) then
    return null;
  end if;
  begin
    with deleted as materialized (
      select o.id, o.organisation_id, o.hostname, o.status::text as status,
        to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
      from old_rows o
    )
    insert into ingest.outbox (topic, messages, message_count, created_at)
    select 'agent.status', json_agg(json_build_object(
      'message_id', ingest.new_message_id(), 'agent_id', id, 'host_id', null, 'org_id', organisation_id,
      'from', status, 'to', 'deleted', 'reason', 'deleted by the web app', 'at', at)), count(*), clock_timestamp()
    from deleted
    union all
    select 'events.raw', json_agg(json_build_object(
      'message_id', ingest.new_message_id(), 'type', 'agent.deleted', 'at', at, 'agent_id', id, 'hostname', hostname,
      'org_id', organisation_id)), count(*), clock_timestamp()
    from deleted;
    perform pg_notify('ct_ops_ingest', 'outbox');
  exception when others then
    raise warning 'ct-ops-ingest could not publish a deletion: %', sqlerrm;
  end;
  return null;
end $$;
--> statement-breakpoint
create or replace trigger ingest_status_changes_published after insert on public.agent_status_history
  referencing new table as new_rows for each statement execute function ingest.publish_status_changes();
--> statement-breakpoint
create or replace trigger ingest_deletions_published after delete on public.agents
  referencing old table as old_rows for each statement execute function ingest.publish_deletions();
