import { stat } from "node:fs/promises";
import { type Check, skipped } from "../../check.js";

/** Says what cannot be told by root, who may read and write everything, of a service that runs as another user. */
export const serviceUserCheck: Check = {
  name: "service's user",
  run: async ({ variables: { INGEST_JWT_KEY_FILE: path } }) => {
    if (process.getuid?.() !== 0 || path === undefined) return [];
    // The service writes it, so it is of the service's user.
    const owner = await stat(path).then(
      ({ uid }) => uid,
      () => undefined,
    );
    if (owner === 0) return [];
    const user = owner === undefined ? "the user that the service runs as" : `user ${owner}, the owner of ${path},`;
    return [skipped(`as root: whether ${user} may read and write the files is not seen, run doctor as that user`)];
  },
};
