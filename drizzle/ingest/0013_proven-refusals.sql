ALTER TABLE "ingest"."refusals" ADD COLUMN "certificate_serial" text;--> statement-breakpoint
ALTER TABLE "ingest"."refusals" ADD COLUMN "share" text DEFAULT 'source:' NOT NULL;--> statement-breakpoint
CREATE INDEX "refusals_certificate_serial_idx" ON "ingest"."refusals" USING btree ("certificate_serial");--> statement-breakpoint
UPDATE "ingest"."refusals" SET "share" = coalesce('agent:' || "agent_id", 'source:' || "remote_address");--> statement-breakpoint
-- Of these the key was not proven.
UPDATE "ingest"."refusals" SET "public_key" = NULL, "hostname" = NULL WHERE "reason" = 'invalid_field';
