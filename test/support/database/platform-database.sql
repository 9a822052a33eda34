-- The platform's database as its web app makes it, written after the database contract and not after drizzle/platform.

create table "organisations" (
  "id" text primary key not null,
  "name" text not null,
  "slug" text not null,
  "logo_url" text,
  "licence_tier" text default 'community' not null,
  "licence_key" text,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb,
  "metric_retention_days" integer default 30 not null,
  "notification_settings" jsonb,
  "timezone" text default 'UTC' not null,
  constraint "organisations_slug_unique" unique("slug")
);

create table "user" (
  "id" text primary key not null,
  "name" text not null,
  "email" text not null,
  "email_verified" boolean default false not null,
  "image" text,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "organisation_id" text,
  "role" text default 'engineer' not null,
  "is_active" boolean default true not null,
  "two_factor_enabled" boolean default false not null,
  "deleted_at" timestamp with time zone,
  "theme" text default 'system' not null,
  "notifications_enabled" boolean default true not null,
  constraint "user_email_unique" unique("email")
);

create table "agent_enrolment_tokens" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "label" text not null,
  "token" text not null,
  "created_by_id" text not null,
  "auto_approve" boolean default false not null,
  "max_uses" integer,
  "usage_count" integer default 0 not null,
  "expires_at" timestamp with time zone,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb,
  "skip_verify" boolean default false not null,
  "token_hash" text,
  constraint "agent_enrolment_tokens_token_unique" unique("token"),
  constraint "agent_enrolment_tokens_token_hash_unique" unique("token_hash")
);

create table "agents" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "hostname" text not null,
  "public_key" text not null,
  "status" text default 'pending' not null,
  "version" text,
  "os" text,
  "arch" text,
  "last_heartbeat_at" timestamp with time zone,
  "approved_by_id" text,
  "approved_at" timestamp with time zone,
  "enrolment_token_id" text,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb,
  "client_cert_pem" text,
  "client_cert_serial" text,
  "client_cert_issued_at" timestamp with time zone,
  "client_cert_not_after" timestamp with time zone,
  "notes" text,
  constraint "agents_public_key_unique" unique("public_key"),
  constraint "agents_client_cert_serial_unique" unique("client_cert_serial")
);

create table "agent_status_history" (
  "id" text primary key not null,
  "agent_id" text not null,
  "organisation_id" text not null,
  "status" text not null,
  "actor_id" text,
  "reason" text,
  "created_at" timestamp with time zone default now() not null,
  "metadata" jsonb
);

create table "hosts" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "agent_id" text,
  "hostname" text not null,
  "display_name" text,
  "os" text,
  "os_version" text,
  "arch" text,
  "ip_addresses" jsonb,
  "cpu_percent" real,
  "memory_percent" real,
  "disk_percent" real,
  "uptime_seconds" integer,
  "status" text default 'unknown' not null,
  "last_seen_at" timestamp with time zone,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb,
  "maintenance_until" timestamp with time zone,
  "os_family" text generated always as (lower("os")) stored
);

create table "host_metrics" (
  "id" text not null,
  "organisation_id" text not null,
  "host_id" text not null,
  "recorded_at" timestamp with time zone not null,
  "cpu_percent" real,
  "memory_percent" real,
  "disk_percent" real,
  "uptime_seconds" integer,
  "created_at" timestamp with time zone default now() not null
);

create table "networks" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "name" text not null,
  "cidr" text not null,
  "description" text,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb
);

create table "host_network_memberships" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "network_id" text not null,
  "host_id" text not null,
  "auto_assigned" boolean default false not null,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb
);

create table "tags" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "key" text not null,
  "value" text not null,
  "usage_count" integer default 0 not null,
  "created_at" timestamp with time zone default now() not null
);

create table "resource_tags" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "resource_id" text not null,
  "resource_type" text not null,
  "created_at" timestamp with time zone default now() not null,
  "tag_id" text not null
);

create table "system_config" (
  "key" text not null,
  "value" text not null,
  "updated_at" timestamp with time zone default now() not null
);

create table "certificate_authorities" (
  "id" text primary key not null,
  "organisation_id" text,
  "purpose" text not null,
  "cert_pem" text not null,
  "key_pem_encrypted" text not null,
  "source" text not null,
  "fingerprint_sha256" text not null,
  "not_before" timestamp with time zone not null,
  "not_after" timestamp with time zone not null,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb,
  constraint "certificate_authorities_fingerprint_sha256_unique" unique("fingerprint_sha256")
);

create table "pending_cert_signings" (
  "id" text primary key not null,
  "agent_id" text not null,
  "csr_der" bytea not null,
  "requested_at" timestamp with time zone default now() not null,
  "last_error" text,
  "last_attempt_at" timestamp with time zone
);

create table "revoked_certificates" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "serial" text not null,
  "reason" text,
  "revoked_at" timestamp with time zone default now() not null,
  constraint "revoked_certificates_serial_unique" unique("serial")
);

create table "checks" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "host_id" text,
  "name" text not null,
  "check_type" text not null,
  "config" jsonb not null,
  "enabled" boolean default true not null,
  "interval_seconds" integer default 60 not null,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb
);

create table "check_results" (
  "id" text primary key not null,
  "check_id" text not null,
  "host_id" text not null,
  "organisation_id" text not null,
  "ran_at" timestamp with time zone not null,
  "status" text not null,
  "output" text,
  "duration_ms" integer,
  "created_at" timestamp with time zone default now() not null
);

create table "agent_queries" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "host_id" text not null,
  "query_type" text not null,
  "status" text default 'pending' not null,
  "result" jsonb,
  "error" text,
  "requested_at" timestamp with time zone default now() not null,
  "completed_at" timestamp with time zone,
  "expires_at" timestamp with time zone not null,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb
);

create table "task_runs" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "triggered_by" text,
  "target_type" text not null,
  "target_id" text not null,
  "task_type" text not null,
  "config" jsonb not null,
  "max_parallel" integer default 1 not null,
  "status" text default 'pending' not null,
  "started_at" timestamp with time zone,
  "completed_at" timestamp with time zone,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb,
  "scheduled_from_id" text
);

create table "task_run_hosts" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "task_run_id" text not null,
  "host_id" text not null,
  "status" text default 'pending' not null,
  "skip_reason" text,
  "exit_code" integer,
  "raw_output" text default '' not null,
  "result" jsonb,
  "started_at" timestamp with time zone,
  "completed_at" timestamp with time zone,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone,
  "metadata" jsonb
);

create table "software_scans" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "host_id" text not null,
  "task_run_host_id" text,
  "status" text not null,
  "source" text,
  "package_count" integer default 0 not null,
  "added_count" integer default 0 not null,
  "removed_count" integer default 0 not null,
  "unchanged_count" integer default 0 not null,
  "error_message" text,
  "started_at" timestamp with time zone,
  "completed_at" timestamp with time zone,
  "created_at" timestamp with time zone default now() not null
);

create table "software_packages" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "host_id" text not null,
  "name" text not null,
  "version" text not null,
  "architecture" text,
  "publisher" text,
  "source" text not null,
  "install_date" timestamp with time zone,
  "first_seen_at" timestamp with time zone default now() not null,
  "last_seen_at" timestamp with time zone default now() not null,
  "removed_at" timestamp with time zone,
  "cve_matches" jsonb,
  "metadata" jsonb,
  "created_at" timestamp with time zone default now() not null,
  "updated_at" timestamp with time zone default now() not null,
  "deleted_at" timestamp with time zone
);

-- What a platform has beside what the service's contract names.

create schema "drizzle";

create table "drizzle"."__drizzle_migrations" (
  "id" serial primary key,
  "hash" text not null,
  "created_at" bigint
);

create table "session" (
  "id" text primary key not null,
  "expires_at" timestamp with time zone not null,
  "token" text not null,
  "user_id" text not null,
  constraint "session_token_unique" unique("token")
);

create table "alert_rules" (
  "id" text primary key not null,
  "organisation_id" text not null,
  "host_id" text,
  "name" text not null,
  "condition_type" text not null,
  "config" jsonb not null,
  "enabled" boolean default true not null,
  "deleted_at" timestamp with time zone
);

create table "alert_instances" (
  "id" text primary key not null,
  "rule_id" text not null,
  "host_id" text not null,
  "organisation_id" text not null,
  "status" text default 'firing' not null,
  "triggered_at" timestamp with time zone default now() not null
);

create view "host_metrics_daily" as
  select "host_id", date_trunc('day', "recorded_at") as "bucket", avg("cpu_percent") as "cpu_percent"
  from "host_metrics"
  group by 1, 2;

alter table "user" add constraint "user_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "agent_enrolment_tokens" add constraint "agent_enrolment_tokens_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "agent_enrolment_tokens" add constraint "agent_enrolment_tokens_created_by_id_user_id_fk" foreign key ("created_by_id") references "public"."user"("id") on delete no action on update no action;
alter table "agents" add constraint "agents_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "agents" add constraint "agents_approved_by_id_user_id_fk" foreign key ("approved_by_id") references "public"."user"("id") on delete no action on update no action;
alter table "agents" add constraint "agents_enrolment_token_id_agent_enrolment_tokens_id_fk" foreign key ("enrolment_token_id") references "public"."agent_enrolment_tokens"("id") on delete no action on update no action;
alter table "agent_status_history" add constraint "agent_status_history_agent_id_agents_id_fk" foreign key ("agent_id") references "public"."agents"("id") on delete no action on update no action;
alter table "agent_status_history" add constraint "agent_status_history_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "hosts" add constraint "hosts_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "hosts" add constraint "hosts_agent_id_agents_id_fk" foreign key ("agent_id") references "public"."agents"("id") on delete no action on update no action;
alter table "host_metrics" add constraint "host_metrics_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "host_metrics" add constraint "host_metrics_host_id_hosts_id_fk" foreign key ("host_id") references "public"."hosts"("id") on delete no action on update no action;
alter table "networks" add constraint "networks_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "host_network_memberships" add constraint "host_network_memberships_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "host_network_memberships" add constraint "host_network_memberships_network_id_networks_id_fk" foreign key ("network_id") references "public"."networks"("id") on delete no action on update no action;
alter table "host_network_memberships" add constraint "host_network_memberships_host_id_hosts_id_fk" foreign key ("host_id") references "public"."hosts"("id") on delete no action on update no action;
alter table "tags" add constraint "tags_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "resource_tags" add constraint "resource_tags_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "resource_tags" add constraint "resource_tags_tag_id_tags_id_fk" foreign key ("tag_id") references "public"."tags"("id") on delete no action on update no action;
alter table "certificate_authorities" add constraint "certificate_authorities_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "pending_cert_signings" add constraint "pending_cert_signings_agent_id_agents_id_fk" foreign key ("agent_id") references "public"."agents"("id") on delete no action on update no action;
alter table "revoked_certificates" add constraint "revoked_certificates_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "checks" add constraint "checks_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "checks" add constraint "checks_host_id_hosts_id_fk" foreign key ("host_id") references "public"."hosts"("id") on delete no action on update no action;
alter table "check_results" add constraint "check_results_check_id_checks_id_fk" foreign key ("check_id") references "public"."checks"("id") on delete no action on update no action;
alter table "check_results" add constraint "check_results_host_id_hosts_id_fk" foreign key ("host_id") references "public"."hosts"("id") on delete no action on update no action;
alter table "check_results" add constraint "check_results_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "agent_queries" add constraint "agent_queries_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "agent_queries" add constraint "agent_queries_host_id_hosts_id_fk" foreign key ("host_id") references "public"."hosts"("id") on delete no action on update no action;
alter table "task_runs" add constraint "task_runs_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "task_runs" add constraint "task_runs_triggered_by_user_id_fk" foreign key ("triggered_by") references "public"."user"("id") on delete no action on update no action;
alter table "task_run_hosts" add constraint "task_run_hosts_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "task_run_hosts" add constraint "task_run_hosts_task_run_id_task_runs_id_fk" foreign key ("task_run_id") references "public"."task_runs"("id") on delete no action on update no action;
alter table "task_run_hosts" add constraint "task_run_hosts_host_id_hosts_id_fk" foreign key ("host_id") references "public"."hosts"("id") on delete no action on update no action;
alter table "software_scans" add constraint "software_scans_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "software_scans" add constraint "software_scans_host_id_hosts_id_fk" foreign key ("host_id") references "public"."hosts"("id") on delete no action on update no action;
alter table "software_scans" add constraint "software_scans_task_run_host_id_task_run_hosts_id_fk" foreign key ("task_run_host_id") references "public"."task_run_hosts"("id") on delete no action on update no action;
alter table "software_packages" add constraint "software_packages_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "software_packages" add constraint "software_packages_host_id_hosts_id_fk" foreign key ("host_id") references "public"."hosts"("id") on delete no action on update no action;
alter table "session" add constraint "session_user_id_user_id_fk" foreign key ("user_id") references "public"."user"("id") on delete cascade on update no action;
alter table "alert_rules" add constraint "alert_rules_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;
alter table "alert_rules" add constraint "alert_rules_host_id_hosts_id_fk" foreign key ("host_id") references "public"."hosts"("id") on delete no action on update no action;
alter table "alert_instances" add constraint "alert_instances_rule_id_alert_rules_id_fk" foreign key ("rule_id") references "public"."alert_rules"("id") on delete no action on update no action;
alter table "alert_instances" add constraint "alert_instances_host_id_hosts_id_fk" foreign key ("host_id") references "public"."hosts"("id") on delete no action on update no action;
alter table "alert_instances" add constraint "alert_instances_organisation_id_organisations_id_fk" foreign key ("organisation_id") references "public"."organisations"("id") on delete no action on update no action;

create unique index "host_metrics_id_recorded_at_uniq" on "host_metrics" using btree (id, recorded_at);
create index "host_metrics_organisation_id_host_id_recorded_at_idx" on "host_metrics" using btree (organisation_id, host_id, recorded_at);
create unique index "host_network_memberships_network_id_host_id_uniq" on "host_network_memberships" using btree (network_id, host_id);
create unique index "tags_organisation_id_key_value_uniq" on "tags" using btree (organisation_id, lower(key), lower(value));
create index "tags_organisation_id_key_idx" on "tags" using btree (organisation_id, key);
create index "resource_tags_resource_id_resource_type_idx" on "resource_tags" using btree (resource_id, resource_type);
create index "resource_tags_tag_id_idx" on "resource_tags" using btree (tag_id);
create unique index "resource_tags_resource_id_resource_type_tag_id_uniq" on "resource_tags" using btree (resource_id, resource_type, tag_id);
create index "certificate_authorities_purpose_deleted_at_idx" on "certificate_authorities" using btree (purpose, deleted_at);
create index "pending_cert_signings_requested_at_idx" on "pending_cert_signings" using btree (requested_at);
create index "revoked_certificates_organisation_id_idx" on "revoked_certificates" using btree (organisation_id);
create index "checks_organisation_id_host_id_idx" on "checks" using btree (organisation_id, host_id);
create index "check_results_check_id_ran_at_idx" on "check_results" using btree (check_id, ran_at);
create index "check_results_organisation_id_ran_at_idx" on "check_results" using btree (organisation_id, ran_at);
create index "agent_queries_host_id_status_idx" on "agent_queries" using btree (host_id, status);
create index "agent_queries_organisation_id_requested_at_idx" on "agent_queries" using btree (organisation_id, requested_at);
create index "task_runs_organisation_id_created_at_idx" on "task_runs" using btree (organisation_id, created_at);
create index "task_runs_target_type_target_id_idx" on "task_runs" using btree (target_type, target_id);
create index "task_runs_scheduled_from_id_idx" on "task_runs" using btree (scheduled_from_id);
create index "task_run_hosts_task_run_id_idx" on "task_run_hosts" using btree (task_run_id);
create index "task_run_hosts_host_id_status_idx" on "task_run_hosts" using btree (host_id, status);
create index "software_scans_host_id_created_at_idx" on "software_scans" using btree (host_id, created_at);
create index "software_scans_organisation_id_created_at_idx" on "software_scans" using btree (organisation_id, created_at);
create unique index "software_packages_organisation_id_host_id_name_version_architec" on "software_packages" using btree (organisation_id, host_id, name, version, architecture);
create index "software_packages_organisation_id_name_idx" on "software_packages" using btree (organisation_id, name);
create index "software_packages_host_id_idx" on "software_packages" using btree (host_id);
create index "software_packages_organisation_id_first_seen_at_idx" on "software_packages" using btree (organisation_id, first_seen_at);

