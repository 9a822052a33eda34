import { writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { createDevServerCertificate } from "../../identity/server-certificate/server-certificate.js";
import { makeDirectory } from "../../lib/make-directory.js";
import type { CommandContext } from "../context.js";
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
export function devTlsCommand({ print }: CommandContext): Command {
  return new Command("dev-tls")
    .description("write a self-signed server certificate for development; agents can use it as their CA file")
    .option("--out <dir>", "where to", "deploy/dev-tls")
    .option("--san <name...>", "further DNS names or IP addresses it is good for")
    .action(async ({ out, san }: { out: string; san?: string[] }) => {
      const { certFile, keyFile } = await writeDevTls(out, san);
      print(`INGEST_TLS_CERT=${certFile}`);
      print(`INGEST_TLS_KEY=${keyFile}`);
    });
}
