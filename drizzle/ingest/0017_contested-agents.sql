CREATE TABLE "ingest"."contested_agents" (
	"agent_id" text PRIMARY KEY NOT NULL,
	"displacements" integer NOT NULL,
	"last_at" timestamp with time zone DEFAULT now() NOT NULL,
	"peers" jsonb NOT NULL,
	"suspected_at" timestamp with time zone,
	"locked_at" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "ingest"."contested_agents" ADD CONSTRAINT "contested_agents_agent_id_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("id") ON DELETE cascade ON UPDATE no action;