CREATE TABLE "ingest"."address_remarks" (
	"agent_id" text NOT NULL,
	"host_id" text NOT NULL,
	"hostname" text NOT NULL,
	"addresses" text[] NOT NULL,
	"since" timestamp with time zone NOT NULL,
	CONSTRAINT "address_remarks_agent_id_host_id_pk" PRIMARY KEY("agent_id","host_id")
);
--> statement-breakpoint
ALTER TABLE "ingest"."address_remarks" ADD CONSTRAINT "address_remarks_agent_id_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("id") ON DELETE cascade ON UPDATE no action;