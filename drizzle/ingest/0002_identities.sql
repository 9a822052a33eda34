CREATE TABLE "ingest"."agent_adoptions" (
	"agent_id" text PRIMARY KEY NOT NULL,
	"previous_public_key" text NOT NULL,
	"previous" jsonb NOT NULL,
	"adopted_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "agent_adoptions_previous_public_key_unique" UNIQUE("previous_public_key")
);
--> statement-breakpoint
CREATE TABLE "ingest"."agent_registrations" (
	"agent_id" text PRIMARY KEY NOT NULL,
	"registered_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ingest"."client_certificates" (
	"serial" text PRIMARY KEY NOT NULL,
	"agent_id" text NOT NULL,
	"issuer_fingerprint_sha256" text NOT NULL,
	"not_before" timestamp with time zone NOT NULL,
	"not_after" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ingest"."refusals" (
	"id" text PRIMARY KEY NOT NULL,
	"refused_at" timestamp with time zone NOT NULL,
	"method" text NOT NULL,
	"reason" text NOT NULL,
	"message" text NOT NULL,
	"agent_id" text,
	"public_key" text,
	"hostname" text,
	"remote_address" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ingest"."retired_agent_cas" (
	"fingerprint_sha256" text PRIMARY KEY NOT NULL,
	"retired_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ingest"."signing_keys" (
	"kid" text PRIMARY KEY NOT NULL,
	"public_jwk" jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"published_until" timestamp with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "ingest"."agent_adoptions" ADD CONSTRAINT "agent_adoptions_agent_id_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "ingest"."agent_registrations" ADD CONSTRAINT "agent_registrations_agent_id_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "ingest"."client_certificates" ADD CONSTRAINT "client_certificates_agent_id_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "client_certificates_agent_id_idx" ON "ingest"."client_certificates" USING btree ("agent_id");--> statement-breakpoint
CREATE INDEX "client_certificates_issuer_idx" ON "ingest"."client_certificates" USING btree ("issuer_fingerprint_sha256","not_after");--> statement-breakpoint
CREATE INDEX "refusals_agent_id_idx" ON "ingest"."refusals" USING btree ("agent_id","refused_at");--> statement-breakpoint
CREATE INDEX "refusals_public_key_idx" ON "ingest"."refusals" USING btree ("public_key","refused_at");--> statement-breakpoint
CREATE INDEX "refusals_refused_at_idx" ON "ingest"."refusals" USING btree ("refused_at");