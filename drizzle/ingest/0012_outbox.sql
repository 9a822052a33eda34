CREATE TABLE "ingest"."dropped_messages" (
	"topic" text NOT NULL,
	"from" text NOT NULL,
	"message_count" bigint NOT NULL,
	"dropped_at" timestamp with time zone NOT NULL,
	CONSTRAINT "dropped_messages_topic_from_pk" PRIMARY KEY("topic","from")
);
--> statement-breakpoint
CREATE TABLE "ingest"."outbox" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "ingest"."outbox_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"topic" text NOT NULL,
	"messages" json NOT NULL,
	"message_count" integer NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"leased_until" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "ingest"."publishers" (
	"instance_id" text PRIMARY KEY NOT NULL,
	"broker" text NOT NULL,
	"connected" boolean NOT NULL,
	"blocked" text,
	"in_flight" integer NOT NULL,
	"confirmed" bigint NOT NULL,
	"confirmed_per_second" double precision NOT NULL,
	"last_error" text,
	"last_error_at" timestamp with time zone,
	"renewed_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ingest"."unroutable_messages" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "ingest"."unroutable_messages_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"topic" text NOT NULL,
	"messages" json NOT NULL,
	"message_count" integer NOT NULL,
	"created_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE INDEX "outbox_topic_idx" ON "ingest"."outbox" USING btree ("topic","id");--> statement-breakpoint
CREATE INDEX "unroutable_messages_topic_idx" ON "ingest"."unroutable_messages" USING btree ("topic","id");
--> statement-breakpoint
-- Rows live for a moment: what they leave behind is cleared away often, or looking for the oldest ones gets slow.
ALTER TABLE "ingest"."outbox" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
