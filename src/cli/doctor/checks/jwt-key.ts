import { access, constants, stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname } from "node:path";
import { readSigningKey } from "../../../identity/signing-keys/signing-key.js";
import { readSigningKeyFile } from "../../../identity/signing-keys/signing-key-file.js";
import type { Queryable } from "../../../store/database.js";
import { listPublishedSigningKeys } from "../../../store/identity/signing-keys.js";
import { findSystemConfigValue } from "../../../store/identity/system-config.js";
import { describeError } from "../../interaction/describe-error.js";
import { type Check, error, type Finding, ok, skipped, warning } from "../check.js";

const READABLE_BY_OTHERS = 0o004;

/** The key that signs access tokens: the file, the one of the earlier service, and those that are published. */
export const jwtKeyCheck: Check = {
  name: "JWT key",
  run: async ({ variables: { INGEST_JWT_KEY_FILE: path }, db }) => {
    if (path === undefined) return [skipped("its file is not configured")];
    const pem = await readSigningKeyFile(path);
    const inFile = pem === undefined ? undefined : await readSigningKey(pem, path);
    const findings: Finding[] = [
      inFile === undefined ? await checkDirectory(path) : ok(`${path} holds the key ${inFile.kid}`),
    ];
    if (inFile !== undefined && ((await stat(path)).mode & READABLE_BY_OTHERS) !== 0) {
      findings.push(warning(`${path} can be read by every user of this machine`, `chmod 600 ${path}`));
    }
    if (db !== undefined) {
      findings.push(...(await checkEarlierKey(db, inFile?.kid)));
      findings.push(...(await checkPublished(db, inFile?.kid)));
    }
    return findings;
  },
};

/** Whether the service can make the key there: directories that are missing it makes as well. */
async function checkDirectory(path: string): Promise<Finding> {
  const directory = dirname(path);
  try {
    await access(directory, constants.W_OK | constants.X_OK);
    return ok(`there is no ${path} yet: the service makes it when it starts`);
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    if (isMissing && directory !== path && dirname(directory) !== directory) return checkDirectory(directory);
    return error(
      `there is no key yet, and ${directory} cannot be written: ${(cause as Error).message}`,
      `give ${userInfo().username}, or whom the service runs as, the right to write there, or name another INGEST_JWT_KEY_FILE`,
    );
  }
}

async function checkEarlierKey(db: Queryable, kidInFile: string | undefined): Promise<Finding[]> {
  const pem = await findSystemConfigValue(db, "jwt_private_key");
  if (pem === undefined) return [];
  try {
    const { kid } = await readSigningKey(pem, "the earlier service's key (system_config.jwt_private_key)");
    if (kidInFile === undefined) return [ok("it will be the earlier service's key, so that its tokens stay good")];
    return kid === kidInFile
      ? [ok("it is the earlier service's key as well")]
      : [ok(`the earlier service's key is another one, ${kid}: the file's signs, its tokens are good while published`)];
  } catch (error) {
    return [
      warning(
        describeError(error),
        "tokens of the earlier service are refused and its agents register again: restore the row if that is not meant",
      ),
    ];
  }
}

async function checkPublished(db: Queryable, kidInFile: string | undefined): Promise<Finding[]> {
  const published = await listPublishedSigningKeys(db);
  if (published.length === 0 || kidInFile === undefined) return [];
  if (published.some(({ kid }) => kid === kidInFile))
    return [ok(`published keys: ${published.length}, this one included`)];
  return [
    warning(
      "the key in the file is not published: no instance signs with it",
      "start the service, or copy the key file that the running instances have",
    ),
  ];
}
