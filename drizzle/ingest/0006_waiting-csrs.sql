-- Looked into with every registration. Few rows, but a table that is empty now may have had many.
create index if not exists ingest_pending_cert_signings_agent_id_idx on public.pending_cert_signings (agent_id);
