import { Command } from "commander";
import { migrateIngest, migrateStandalone } from "../../store/migrations/migrate.js";
import { announceDatabase, findTarget } from "../command-database.js";
import type { CommandContext } from "../context.js";

/** `migrate`: brings the database up to date. */
export function migrateCommand({ env, print, warn }: CommandContext): Command {
  return new Command("migrate")
    .description("bring the service's own schema up to date")
    .option("--standalone", "also make the platform's tables: for a database that is this service's own")
    .action(async ({ standalone }: { standalone?: true }) => {
      const { databaseUrl: url } = await findTarget(env);
      warn(announceDatabase(env, url));
      await (standalone ? migrateStandalone(url) : migrateIngest(url));
      print("the database is up to date");
    });
}
