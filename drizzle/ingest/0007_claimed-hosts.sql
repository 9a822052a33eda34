ALTER TABLE "ingest"."agent_adoptions" ADD COLUMN "previous_hostname" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "ingest"."agent_adoptions" ADD COLUMN "previous_addresses" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
CREATE INDEX "agent_adoptions_previous_hostname_idx" ON "ingest"."agent_adoptions" USING btree (lower("previous_hostname"));--> statement-breakpoint
CREATE INDEX "agent_adoptions_previous_addresses_idx" ON "ingest"."agent_adoptions" USING gin ("previous_addresses");