import { Command } from "commander";
import {
  describeSigningKeys,
  retireSigningKey,
  rotateSigningKey,
  type SigningKeyState,
} from "../../identity/signing-keys/signing-key-rotation.js";
import { changeDatabase, readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { formatTable } from "../terminal/table.js";

const STATE: Readonly<Record<SigningKeyState, string>> = {
  announced: "in the key file, signs soon",
  signs: "in the key file, signs",
  "signs elsewhere": "signs elsewhere",
  "earlier service": "in system_config",
  verifies: "verifies only",
};

/** `keys list`, `keys rotate` and `keys retire`. */
export function keysCommand(context: CommandContext): Command {
  return new Command("keys")
    .description("the keys that sign access tokens (JWT)")
    .addCommand(listCommand(context))
    .addCommand(rotateCommand(context))
    .addCommand(retireCommand(context));
}

function listCommand(context: CommandContext): Command {
  return new Command("list")
    .description("list the keys whose tokens are accepted")
    .option("--json", "print JSON only")
    .action(async ({ json }: { json?: true }) => {
      const keys = await readDatabase(context, ({ db }, { jwtKeyFile }) => describeSigningKeys(db, jwtKeyFile));
      if (json) {
        const listed = keys.map(({ kid, state, createdAt, publishedUntil }) => ({
          kid,
          state,
          createdAt,
          publishedUntil,
        }));
        context.print(JSON.stringify(listed));
        return;
      }
      context.print(
        formatTable(
          ["KID", "STATE", "PUBLISHED SINCE", "UNTIL AT LEAST"],
          keys.map(({ kid, state, createdAt, publishedUntil }) => [
            kid,
            STATE[state],
            createdAt.toISOString(),
            publishedUntil.toISOString(),
          ]),
          context.terminal,
        ),
      );
    });
}

function rotateCommand(context: CommandContext): Command {
  return new Command("rotate")
    .description("put a new key into INGEST_JWT_KEY_FILE; services that run change over by themselves")
    .action(async () => {
      await changeDatabase(context, async ({ db }, { jwtKeyFile }) => {
        const kid = await rotateSigningKey(db, jwtKeyFile);
        context.print(`${jwtKeyFile} holds key ${kid}`);
      });
      context.warn("Services that use the file sign with it in about six minutes; tokens of the old key stay good.");
    });
}

function retireCommand(context: CommandContext): Command {
  return (
    new Command("retire")
      .description("refuse the tokens that a key signed; their agents register again by themselves")
      .argument("<kid>", "kid of the key")
      // One kid of sixty-four begins with a dash.
      .allowUnknownOption()
      .option("--force", "also when it signed lately")
      .action(async (kid: string, { force = false }: { force?: boolean }) => {
        await changeDatabase(context, ({ db }, { jwtKeyFile: path }) => retireSigningKey(db, kid, { path, force }));
        context.print(`retired ${kid}; every instance refuses its tokens within half a minute`);
      })
  );
}
