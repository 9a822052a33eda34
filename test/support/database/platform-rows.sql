-- What stands in a platform's database after some months: organisations named by hand, ids that begin with a digit.

insert into "drizzle"."__drizzle_migrations" (hash, created_at) values ('3b1f', 1733000000000), ('9c2e', 1744000000000);

insert into organisations (id, name, slug, metadata, notification_settings, timezone) values
  ('Acme_Corp.1', 'Acme Corporation', 'acme', '{"defaultTags":[{"key":"env","value":"prod"}],"softwareInventory":{"enabled":true}}', '{"email":true}', 'Europe/London'),
  ('7org3kd92mfk20slq8vn4bxw', 'Other', 'other', null, null, 'UTC');

insert into "user" (id, name, email, organisation_id, role, created_at) values
  ('9user2kd92mfk20slq8vn4bx', 'Ada', 'ada@acme.example', 'Acme_Corp.1', 'super_admin', '2025-01-02T03:04:05Z'),
  ('user3kd92mfk20slq8vn4bxw', 'Bob', 'bob@other.example', '7org3kd92mfk20slq8vn4bxw', 'engineer', '2025-02-02T03:04:05Z');
insert into "session" (id, expires_at, token, user_id) values
  ('s1', '2027-01-01T00:00:00Z', 'session-token', '9user2kd92mfk20slq8vn4bx');

insert into agent_enrolment_tokens (id, organisation_id, label, token, created_by_id, max_uses, usage_count, expires_at, token_hash, metadata, skip_verify) values
  ('t1', 'Acme_Corp.1', 'before hashes', 'ctops_old', '9user2kd92mfk20slq8vn4bx', null, 3, null, null, null, true),
  ('t2', 'Acme_Corp.1', 'used up', 'ctops_used', '9user2kd92mfk20slq8vn4bx', 1, 1, '2025-06-01T00:00:00Z', encode(sha256('ctops_used'), 'hex'), '{"tags":[{"key":"role","value":"web"}]}', false);

insert into agents (id, organisation_id, hostname, public_key, status, version, os, arch, last_heartbeat_at, approved_by_id, approved_at, enrolment_token_id, client_cert_pem, client_cert_serial, client_cert_issued_at, client_cert_not_after, notes) values
  ('4gent1kd92mfk20slq8vn4bx', 'Acme_Corp.1', 'db-01', E'-----BEGIN PUBLIC KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=\n-----END PUBLIC KEY-----\n', 'offline', 'v0.9.1', 'linux', 'amd64', '2025-05-01T00:00:00Z', '9user2kd92mfk20slq8vn4bx', '2025-03-01T00:00:00Z', 't1', 'not kept', 'a1b2c3', '2025-04-01T00:00:00Z', '2025-07-01T00:00:00Z', 'in the basement'),
  ('agent2kd92mfk20slq8vn4bx', 'Acme_Corp.1', 'db-02', E'-----BEGIN PUBLIC KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI=\n-----END PUBLIC KEY-----\n', 'pending', 'v0.9.1', 'linux', 'arm64', null, null, null, 't1', null, null, null, null, null),
  ('agent3kd92mfk20slq8vn4bx', '7org3kd92mfk20slq8vn4bxw', 'gone', E'-----BEGIN PUBLIC KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAM=\n-----END PUBLIC KEY-----\n', 'revoked', null, null, null, null, null, null, null, null, 'd4e5f6', null, null, null);
insert into agent_status_history (id, agent_id, organisation_id, status, actor_id, reason) values
  ('h1', '4gent1kd92mfk20slq8vn4bx', 'Acme_Corp.1', 'active', '9user2kd92mfk20slq8vn4bx', 'Approved by admin'),
  ('h2', '4gent1kd92mfk20slq8vn4bx', 'Acme_Corp.1', 'offline', null, null),
  ('h3', 'agent3kd92mfk20slq8vn4bx', '7org3kd92mfk20slq8vn4bxw', 'revoked', 'user3kd92mfk20slq8vn4bxw', 'Rejected by admin');
insert into revoked_certificates (id, organisation_id, serial, reason) values
  ('rc1', '7org3kd92mfk20slq8vn4bxw', 'd4e5f6', 'agent rejected');
insert into pending_cert_signings (id, agent_id, csr_der, last_error, last_attempt_at) values
  ('p1', 'agent2kd92mfk20slq8vn4bx', '\x3082', 'agent is not active', now());

insert into hosts (id, organisation_id, agent_id, hostname, display_name, os, os_version, arch, ip_addresses, cpu_percent, memory_percent, disk_percent, uptime_seconds, status, last_seen_at, metadata, maintenance_until) values
  ('3host1kd92mfk20slq8vn4bx', 'Acme_Corp.1', '4gent1kd92mfk20slq8vn4bx', 'db-01', 'Ledger', 'linux', 'Debian 12', 'amd64', '["198.51.100.7","172.17.0.1"]', 0.1, 33.3, 70, 86400, 'offline', '2025-05-01T00:00:00Z', '{"disks":[],"network_interfaces":[],"collectionSettings":{"cpu":true},"terminalEnabled":true,"sshHostKeySha256":"abc"}', '2027-01-01T00:00:00Z'),
  ('host2kd92mfk20slq8vn4bxw', 'Acme_Corp.1', 'agent2kd92mfk20slq8vn4bx', 'db-02', null, 'linux', null, 'arm64', null, null, null, null, null, 'unknown', null, '{"pendingTags":[{"key":"role","value":"db"}]}', null),
  ('host3kd92mfk20slq8vn4bxw', '7org3kd92mfk20slq8vn4bxw', null, 'by hand', null, null, null, null, '[]', null, null, null, null, 'unknown', null, null, null);
insert into host_metrics (id, organisation_id, host_id, recorded_at, cpu_percent, memory_percent, disk_percent, uptime_seconds)
  select 'm' || i, 'Acme_Corp.1', '3host1kd92mfk20slq8vn4bx', '2025-05-01T00:00:00Z'::timestamptz - i * interval '30 s', i % 100, 33.3, 70, 86400 - i
  from generate_series(1, 500) as i;

insert into networks (id, organisation_id, name, cidr) values ('n1', 'Acme_Corp.1', 'servers', '198.51.100.0/24');
insert into host_network_memberships (id, organisation_id, network_id, host_id, auto_assigned) values
  ('nm1', 'Acme_Corp.1', 'n1', '3host1kd92mfk20slq8vn4bx', true),
  ('nm2', 'Acme_Corp.1', 'n1', 'host2kd92mfk20slq8vn4bxw', false);
insert into tags (id, organisation_id, key, value, usage_count) values ('tag1', 'Acme_Corp.1', 'Role', 'DB', 1);
insert into resource_tags (id, organisation_id, resource_id, resource_type, tag_id) values
  ('rt1', 'Acme_Corp.1', '3host1kd92mfk20slq8vn4bx', 'host', 'tag1');

insert into checks (id, organisation_id, host_id, name, check_type, config) values
  ('c1', 'Acme_Corp.1', '3host1kd92mfk20slq8vn4bx', 'ssh', 'port', '{"port":22}'),
  ('c2', 'Acme_Corp.1', null, 'template', 'process', '{"name":"sshd"}');
insert into check_results (id, check_id, host_id, organisation_id, ran_at, status, output, duration_ms) values
  ('cr1', 'c1', '3host1kd92mfk20slq8vn4bx', 'Acme_Corp.1', now(), 'pass', 'open', 3);
insert into agent_queries (id, organisation_id, host_id, query_type, status, result, expires_at) values
  ('q1', 'Acme_Corp.1', '3host1kd92mfk20slq8vn4bx', 'list_ports', 'complete', '{"ports":[]}', now());
insert into task_runs (id, organisation_id, triggered_by, target_type, target_id, task_type, config, status) values
  ('tr1', 'Acme_Corp.1', '9user2kd92mfk20slq8vn4bx', 'host', '3host1kd92mfk20slq8vn4bx', 'software_inventory', '{}', 'completed');
insert into task_run_hosts (id, organisation_id, task_run_id, host_id, status, exit_code, raw_output) values
  ('trh1', 'Acme_Corp.1', 'tr1', '3host1kd92mfk20slq8vn4bx', 'success', 0, 'done');
insert into software_scans (id, organisation_id, host_id, task_run_host_id, status, package_count) values
  ('ss1', 'Acme_Corp.1', '3host1kd92mfk20slq8vn4bx', 'trh1', 'complete', 1);
insert into software_packages (id, organisation_id, host_id, name, version, source) values
  ('sp1', 'Acme_Corp.1', '3host1kd92mfk20slq8vn4bx', 'openssl', '3.0.11', 'dpkg');
insert into alert_rules (id, organisation_id, host_id, name, condition_type, config) values
  ('ar1', 'Acme_Corp.1', '3host1kd92mfk20slq8vn4bx', 'cpu', 'metric_threshold', '{"metric":"cpu"}');
insert into alert_instances (id, rule_id, host_id, organisation_id) values
  ('ai1', 'ar1', '3host1kd92mfk20slq8vn4bx', 'Acme_Corp.1');
