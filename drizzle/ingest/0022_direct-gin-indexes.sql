-- A GIN index keeps what is new in a list that every lookup reads from end to end, until a vacuum sorts it in: with 3,600 hosts
-- more since the last one a registration looked more than ten times as long. Without the list a new row costs hardly more.
-- The setting needs an index for itself, and whoever uses its table comes to wait behind it: so it is tried for a moment at
-- a time, with nothing locked in between, and all that is in the list is sorted in before. It makes lookups faster and
-- nothing else: where somebody keeps a transaction open for longer, the service starts without it.
do $$
declare
  usual_timeout constant text := current_setting('lock_timeout');
  indexes constant regclass[] := array(
    select i from unnest(array[
      to_regclass('ingest.agent_adoptions_previous_addresses_idx'),
      to_regclass('ingest.agent_registrations_identifying_addresses_idx'),
      to_regclass('public.ingest_hosts_ip_addresses_idx')
    ]) as i where i is not null);
  index regclass;
  is_done boolean := false;
begin
  perform set_config('lock_timeout', '300ms', true);
  for attempt in 1..10 loop
    begin
      perform gin_clean_pending_list(i) from unnest(indexes) as i;
      foreach index in array indexes loop
        execute format('alter index %s set (fastupdate = off)', index);
      end loop;
      perform gin_clean_pending_list(i) from unnest(indexes) as i;
      is_done := true;
    exception when lock_not_available then
      perform pg_sleep(1);
    end;
    exit when is_done;
  end loop;
  perform set_config('lock_timeout', usual_timeout, true);
  if not is_done then
    raise warning 'ct-ops-ingest left fastupdate on for %: somebody kept them locked', indexes;
  end if;
end $$;
