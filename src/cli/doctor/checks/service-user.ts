import { stat } from "node:fs/promises";
import { type Check, skipped } from "../check.js";

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
    const whose = owner === undefined ? "whom the service runs as" : `user ${owner}, whose key file ${path} is,`;
    return [skipped(`whether ${whose} may read and write its files: root may everything, so run doctor as that user`)];
  },
};
