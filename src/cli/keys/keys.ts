import { Command } from "commander";
import {
  describeSigningKeys,
  requireRetirable,
  retireSigningKey,
  rotateSigningKey,
  type SigningKeyOverview,
  type SigningKeyState,
} from "../../identity/signing-keys/signing-key-rotation.js";
import { changeDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { type ConsentOptions, requireConsent, withConsentOptions } from "../interaction/consent.js";
import { type ShowOptions, show, withShowOptions } from "../interaction/show.js";
import { sentences } from "../terminal/column.js";
import type { Layout } from "../terminal/layout.js";
import { formatTable } from "../terminal/table.js";

const STATE: Readonly<Record<SigningKeyState, string>> = {
  announced: "in the key file, signs within six minutes",
  signs: "in the key file, signs",
  "signs elsewhere": "signs, or did in the last 20 minutes",
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
  return withShowOptions(new Command("list").description("list the keys whose tokens are accepted")).action(
    (options: ShowOptions) =>
      show(context, options, {
        read: ({ db }, { jwtKeyFile }) => describeSigningKeys(db, jwtKeyFile),
        toText: formatKeys,
        toJson: (keys) =>
          keys.map(({ kid, state, createdAt, publishedUntil }) => ({ kid, state, createdAt, publishedUntil })),
      }),
  );
}

function formatKeys(keys: readonly SigningKeyOverview[], layout: Layout): string {
  return formatTable(
    ["KID", sentences("STATE"), "PUBLISHED SINCE", "UNTIL AT LEAST"],
    keys.map(({ kid, state, createdAt, publishedUntil }) => [kid, STATE[state], createdAt, publishedUntil]),
    layout,
  );
}

function rotateCommand(context: CommandContext): Command {
  return new Command("rotate")
    .description("put a new key into INGEST_JWT_KEY_FILE; services that run change over by themselves")
    .option("--json", "print JSON only")
    .action(async ({ json }: { json?: true }) => {
      await changeDatabase(context, async ({ db }, { jwtKeyFile }) => {
        const kid = await rotateSigningKey(db, jwtKeyFile);
        context.print(json ? JSON.stringify({ kid, file: jwtKeyFile }) : `${jwtKeyFile} holds key ${kid}`);
      });
      context.warn("Services that use the file sign with it in about six minutes; tokens of the old key stay good.");
    });
}

function retireCommand(context: CommandContext): Command {
  const command = new Command("retire")
    .description("refuse the tokens that a key signed; their agents register again by themselves")
    .argument("<kid>", "kid of the key")
    // One kid of sixty-four begins with a dash.
    .allowUnknownOption()
    .option("--force", "also when it signed lately")
    .option("--json", "print JSON only");
  return withConsentOptions(command).action(async (kid: string, options: RetireOptions) => {
    const { force = false, dryRun, json } = options;
    await changeDatabase(context, async ({ db }, { jwtKeyFile: path }) => {
      const key = await requireRetirable(db, kid, { path, force });
      if (dryRun) return context.print(json ? JSON.stringify(key) : `would retire ${kid}, which ${STATE[key.state]}`);
      if (key.state === "signs elsewhere") {
        await requireConsent(context, options, `Key ${kid} signed lately. Refuse all tokens that it signed?`);
      }
      await retireSigningKey(db, kid, { path, force });
      const done = `retired ${kid}; every instance refuses its tokens within half a minute`;
      context.print(json ? JSON.stringify({ kid, state: "retired" }) : done);
    });
  });
}

interface RetireOptions extends ConsentOptions {
  force?: boolean;
  json?: true;
}
