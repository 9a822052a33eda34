CREATE TABLE "ingest"."agent_sessions" (
	"agent_id" text PRIMARY KEY NOT NULL,
	"epoch" bigint NOT NULL,
	"instance_id" text NOT NULL,
	"opened_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "ingest"."agent_sessions" ADD CONSTRAINT "agent_sessions_agent_id_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("id") ON DELETE cascade ON UPDATE no action;