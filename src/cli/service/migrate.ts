import { Command } from "commander";
import { migrateIngest, migrateStandalone } from "../../store/migrations/migrate.js";
import { announceDatabase, findTarget } from "../command-database.js";
import type { CommandContext } from "../context.js";

const DESCRIPTION = { ingest: "the service's own schema", platform: "the platform's tables" };

/** `migrate`: brings the database up to date. */
export function migrateCommand({ env, print, warn }: CommandContext): Command {
  return new Command("migrate")
    .description("bring the service's own schema up to date")
    .option("--standalone", "also make the platform's tables: for a database that is this service's own")
    .option("--json", "print JSON only")
    .action(async ({ standalone, json }: { standalone?: true; json?: true }) => {
      const { databaseUrl: url } = await findTarget(env);
      warn(announceDatabase(env, url));
      const applied = await (standalone ? migrateStandalone(url) : migrateIngest(url));
      if (json) return print(JSON.stringify({ applied }));
      for (const { set, name } of applied) print(`applied ${name} (${DESCRIPTION[set]})`);
      print(applied.length === 0 ? "nothing to apply: the database is up to date" : "the database is up to date");
    });
}
