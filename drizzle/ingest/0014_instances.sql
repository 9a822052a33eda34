CREATE TABLE "ingest"."instances" (
	"id" text PRIMARY KEY NOT NULL,
	"version" text NOT NULL,
	"address" text NOT NULL,
	"started_at" timestamp with time zone DEFAULT now() NOT NULL,
	"renewed_at" timestamp with time zone DEFAULT now() NOT NULL,
	"draining" boolean DEFAULT false NOT NULL
);
--> statement-breakpoint
ALTER TABLE "ingest"."agent_sessions" ADD COLUMN "remote_address" text;--> statement-breakpoint
ALTER TABLE "ingest"."agent_sessions" ADD COLUMN "hostname" text;--> statement-breakpoint
ALTER TABLE "ingest"."agent_sessions" ADD COLUMN "uptime_seconds" integer;--> statement-breakpoint
ALTER TABLE "ingest"."agent_sessions" ADD COLUMN "interval_ms" integer;