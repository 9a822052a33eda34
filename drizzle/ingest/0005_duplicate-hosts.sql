-- By which a registration finds the hosts that may be the same machine. Heartbeats leave both values as they are, so
-- their updates stay in place (HOT).
create index if not exists ingest_hosts_hostname_idx on public.hosts (organisation_id, lower(hostname));
--> statement-breakpoint
create index if not exists ingest_hosts_ip_addresses_idx on public.hosts using gin (ip_addresses);
