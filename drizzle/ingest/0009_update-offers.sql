CREATE TABLE "ingest"."update_offers" (
	"agent_id" text PRIMARY KEY NOT NULL,
	"version" text NOT NULL,
	"offered_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "ingest"."update_offers" ADD CONSTRAINT "update_offers_agent_id_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "update_offers_offered_at_idx" ON "ingest"."update_offers" USING btree ("offered_at");