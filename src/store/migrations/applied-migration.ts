/** One of the sets of migrations. */
export type MigrationSet = "platform" | "ingest";

/** A migration that was applied. */
export interface AppliedMigration {
  set: MigrationSet;
  /** Such as `0003_identity-changes`. */
  name: string;
}
