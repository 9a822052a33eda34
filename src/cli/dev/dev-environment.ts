import { randomBytes } from "node:crypto";
import { access, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encryptionSecretIn, settingsIn } from "../../config/environment.js";
import type { CommandContext } from "../context.js";
import { devTlsFilesIn, writeDevTls } from "./dev-tls.js";

/** What is left to nobody but whoever develops on this machine. */
const DEFAULTS = {
  INGEST_GRPC_ADDRESS: "127.0.0.1",
  INGEST_HTTP_ADDRESS: "127.0.0.1",
  INGEST_CORS_ORIGINS: "loopback",
  INGEST_REFLECTION: "true",
  // As many as a machine of a developer has descriptors for: the default would begin with a warning there.
  INGEST_MAX_CONNECTIONS: "10000",
};

/** What the user set, and for the rest files in the data directory. */
export async function developmentEnvironment(
  env: CommandContext["env"],
  dataDir: string,
  databaseUrl: string,
): Promise<Record<string, string | undefined>> {
  const set = settingsIn(env);
  const hasTls = set.INGEST_TLS_CERT !== undefined || set.INGEST_TLS_KEY !== undefined;
  const tls = hasTls ? undefined : await loadServerCertificate(join(dataDir, "tls"));
  const hasSecret = encryptionSecretIn(set) !== undefined;
  return {
    ...env,
    ...DEFAULTS,
    ...set,
    DATABASE_URL: databaseUrl,
    INGEST_WORKERS: "1",
    INGEST_LOG_LEVEL: set.INGEST_LOG_LEVEL ?? "warn",
    INGEST_JWT_KEY_FILE: set.INGEST_JWT_KEY_FILE ?? join(dataDir, "jwt_key.pem"),
    ...(tls && { INGEST_TLS_CERT: tls.certFile, INGEST_TLS_KEY: tls.keyFile }),
    ...(!hasSecret && { LDAP_ENCRYPTION_KEY: await loadSecret(join(dataDir, "encryption-key")) }),
  };
}

async function loadServerCertificate(directory: string): Promise<{ certFile: string; keyFile: string }> {
  const files = devTlsFilesIn(directory);
  const exists = await access(files.certFile).then(
    () => true,
    () => false,
  );
  return exists ? files : writeDevTls(directory);
}

async function loadSecret(path: string): Promise<string> {
  const stored = await readOptional(path);
  if (stored !== undefined) return stored;
  const made = randomBytes(32).toString("base64url");
  await writeFile(path, `${made}\n`, { mode: 0o600, flag: "wx" });
  return made;
}

/** What a file of ours says; undefined when there is none. */
export async function readOptional(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
