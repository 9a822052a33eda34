import { access, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { createDevServerCertificate } from "../../identity/server-certificate/server-certificate.js";
import { parseAddress } from "../../lib/formats/cidr.js";
import { makeDirectory } from "../../lib/make-directory.js";
import type { CommandContext } from "../context.js";
import { type ConsentOptions, requireConsent, withConsentOptions } from "../interaction/consent.js";
import { writePrivateFile } from "./private-file.js";

/** The files of a development server certificate. */
export interface DevTlsFiles {
  certFile: string;
  keyFile: string;
}

/** Where {@link writeDevTls} puts the files of a directory. */
export function devTlsFilesIn(directory: string): DevTlsFiles {
  return { certFile: join(directory, "server.crt"), keyFile: join(directory, "server.key") };
}

/** Writes a self-signed server certificate for this machine, and for further names. */
export async function writeDevTls(directory: string, names: readonly string[] = []): Promise<DevTlsFiles> {
  const files = devTlsFilesIn(directory);
  const all = new Set(["localhost", "127.0.0.1", "::1", hostname(), ...names]);
  const { cert, key } = await createDevServerCertificate([...all]);
  await makeDirectory(directory);
  await writePrivateFile(files.keyFile, key);
  await writeFile(files.certFile, cert);
  return files;
}

/** `dev-tls`: a server certificate for development. */
export function devTlsCommand(context: CommandContext): Command {
  const command = new Command("dev-tls")
    .description("write a self-signed server certificate for development; agents can use it as their CA file")
    .option("--out <dir>", "where to", "deploy/dev-tls")
    .option("--san <name...>", "further DNS names or IP addresses it is good for", collectNames, [])
    .option("--json", "print JSON only");
  return withConsentOptions(command).action(async (options: DevTlsOptions) => {
    const { out, san, dryRun, json } = options;
    const files = devTlsFilesIn(out);
    const existing = await existingOf([files.certFile, files.keyFile]);
    const overwritten = existing.join(" and ");
    if (dryRun) {
      const what =
        existing.length > 0 ? `would overwrite ${overwritten}` : `would write ${files.certFile}, ${files.keyFile}`;
      return context.print(json ? JSON.stringify({ ...files, overwrites: existing }) : what);
    }
    if (existing.length > 0) {
      const question = `Overwrite ${overwritten}? Whoever trusts that certificate has to be given the new one.`;
      await requireConsent(context, options, question);
    }
    await writeDevTls(out, san);
    if (json) return context.print(JSON.stringify(files));
    context.print(`INGEST_TLS_CERT=${files.certFile}`);
    context.print(`INGEST_TLS_KEY=${files.keyFile}`);
  });
}

interface DevTlsOptions extends ConsentOptions {
  out: string;
  san: string[];
  json?: true;
}

async function existingOf(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => [path],
        () => [],
      ),
    ),
  );
  return found.flat();
}

/** What can stand in a certificate as a DNS name; `*` for its first label. */
const DNS_NAME = /^(\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;
const MAX_DNS_NAME_LENGTH = 253;

function collectNames(text: string, names: readonly string[]): string[] {
  const name = text.trim();
  const isName = name.length <= MAX_DNS_NAME_LENGTH && DNS_NAME.test(name) && !/^[\d.]+$/.test(name);
  if (parseAddress(name) === undefined && !isName) {
    throw new InvalidArgumentError("expected a DNS name or an IP address, an international name in its xn-- form");
  }
  return [...names, name];
}
