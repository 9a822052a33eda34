CREATE TABLE "ingest"."former_keys" (
	"public_key" text PRIMARY KEY NOT NULL,
	"agent_id" text NOT NULL,
	"fate" text NOT NULL,
	"since" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "ingest"."agent_adoptions" ADD COLUMN "host_id" text;--> statement-breakpoint
-- The agent's host, as everything else finds it: the oldest one.
update ingest.agent_adoptions a set host_id = (
  select h.id from public.hosts h where h.agent_id = a.agent_id and h.deleted_at is null order by h.created_at, h.id limit 1);
--> statement-breakpoint
-- Without a host there is nothing to give back.
delete from ingest.agent_adoptions where host_id is null;
--> statement-breakpoint
ALTER TABLE "ingest"."agent_adoptions" ALTER COLUMN "host_id" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "ingest"."agent_registrations" ADD COLUMN "remote_address" text;--> statement-breakpoint
ALTER TABLE "ingest"."agent_registrations" ADD COLUMN "showed_certificate" boolean;--> statement-breakpoint
ALTER TABLE "ingest"."agent_adoptions" ADD CONSTRAINT "agent_adoptions_host_id_hosts_id_fk" FOREIGN KEY ("host_id") REFERENCES "public"."hosts"("id") ON DELETE cascade ON UPDATE no action;