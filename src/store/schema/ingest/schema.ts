import { pgSchema } from "drizzle-orm/pg-core";

/** The service's own schema, beside the platform's tables. */
export const ingest = pgSchema("ingest");
