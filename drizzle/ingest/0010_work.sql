-- Tells every instance that there may be work for agents: a hint, the tables are read. A notification serialises commits
-- over the whole database, so none is sent for what the service writes all the time, the output of a running task.
-- As in the triggers on agents and hosts: no column stands in a trigger itself, functions read transition tables, and
-- left() keeps a payload below its limit. Many at once are told of as one.
create or replace function ingest.notify_work(kind text, ids text[]) returns void language plpgsql as $$
begin
  if cardinality(ids) > 100 then
    perform pg_notify('ct_ops_ingest', 'work');
  else
    perform pg_notify('ct_ops_ingest', kind || ':' || left(id, 200)) from unnest(ids) as id;
  end if;
end $$;
--> statement-breakpoint
create or replace function ingest.notify_checks_changed() returns trigger language plpgsql as $$
begin
  perform ingest.notify_work(
    'checks', array(select distinct n.host_id::text from new_rows n where n.host_id is not null));
  return null;
end $$;
--> statement-breakpoint
create or replace function ingest.notify_queries_added() returns trigger language plpgsql as $$
begin
  perform ingest.notify_work('queries', array(select distinct n.host_id::text from new_rows n));
  return null;
end $$;
--> statement-breakpoint
create or replace function ingest.notify_tasks_added() returns trigger language plpgsql as $$
begin
  perform ingest.notify_work(
    'run', array(select distinct n.task_run_id::text from new_rows n where n.status::text = 'pending'));
  return null;
end $$;
--> statement-breakpoint
-- A row that leaves `running` makes room for those of its run that wait; one that is to be cancelled, its agent is told.
create or replace function ingest.notify_tasks_updated() returns trigger language plpgsql as $$
begin
  if exists (select from old_rows o where o.status::text = 'running') then
    perform ingest.notify_work('run', array(
      select distinct n.task_run_id::text
      from old_rows o join new_rows n on n.id = o.id
      where o.status::text = 'running' and n.status::text <> 'running'
        and (n.status::text = 'cancelling' or exists (
          select from public.task_run_hosts w where w.task_run_id = n.task_run_id and w.status::text = 'pending'))));
  end if;
  return null;
end $$;
--> statement-breakpoint
create or replace trigger ingest_checks_inserted after insert on public.checks
  referencing new table as new_rows for each statement execute function ingest.notify_checks_changed();
--> statement-breakpoint
create or replace trigger ingest_checks_updated after update on public.checks
  referencing new table as new_rows for each statement execute function ingest.notify_checks_changed();
--> statement-breakpoint
create or replace trigger ingest_queries_inserted after insert on public.agent_queries
  referencing new table as new_rows for each statement execute function ingest.notify_queries_added();
--> statement-breakpoint
create or replace trigger ingest_tasks_inserted after insert on public.task_run_hosts
  referencing new table as new_rows for each statement execute function ingest.notify_tasks_added();
--> statement-breakpoint
create or replace trigger ingest_tasks_updated after update on public.task_run_hosts
  referencing old table as old_rows new table as new_rows
  for each statement execute function ingest.notify_tasks_updated();
--> statement-breakpoint
create index if not exists ingest_task_run_hosts_status_idx on public.task_run_hosts (status);
--> statement-breakpoint
create index if not exists ingest_task_runs_status_idx on public.task_runs (status);
