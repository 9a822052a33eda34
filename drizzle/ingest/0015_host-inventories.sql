CREATE TABLE "ingest"."host_inventories" (
	"host_id" text PRIMARY KEY NOT NULL,
	"digest" text NOT NULL,
	"addresses_digest" text NOT NULL,
	"written_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "ingest"."host_inventories" ADD CONSTRAINT "host_inventories_host_id_hosts_id_fk" FOREIGN KEY ("host_id") REFERENCES "public"."hosts"("id") ON DELETE cascade ON UPDATE no action;