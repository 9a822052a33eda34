ALTER TABLE "ingest"."agent_registrations" ADD COLUMN "identifying_addresses" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "ingest"."agent_sessions" ADD COLUMN "closed_at" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "agent_registrations_identifying_addresses_idx" ON "ingest"."agent_registrations" USING gin ("identifying_addresses");