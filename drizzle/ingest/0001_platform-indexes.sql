-- hosts has no index but its primary key: without this one, finding an agent's host reads the whole table.
create index if not exists ingest_hosts_agent_id_idx on public.hosts (agent_id);
