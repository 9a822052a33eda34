import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { readManifest } from "../../../work/signals/releases.js";
import { describeError } from "../../interaction/describe-error.js";
import { type Check, type Finding, ok, type Subject, warning } from "../check.js";
import { checkDates } from "../dates.js";

/** What agents are told for their updates comes from files: while one cannot be read, they are told nothing of it. */
export const agentUpdatesCheck: Check = {
  name: "updates of agents",
  run: async ({ variables }) => [
    ...(await checkFile(variables, "INGEST_WEB_SERVER_CERT", (pem) => {
      const { validFrom, validTo } = new X509Certificate(pem);
      const dates = { notBefore: new Date(validFrom), notAfter: new Date(validTo) };
      return checkDates("the web site's certificate", dates, "put the one in that the web site shows");
    })),
    ...(await checkFile(variables, "INGEST_RELEASE_MANIFEST_PATH", (json) =>
      ok(`agents are told of ${readManifest(json)}`),
    )),
  ],
};

async function checkFile(
  variables: Subject["variables"],
  name: "INGEST_WEB_SERVER_CERT" | "INGEST_RELEASE_MANIFEST_PATH",
  examine: (content: string) => Finding,
): Promise<Finding[]> {
  const path = variables[name];
  if (path === undefined) return [];
  try {
    return [examine(await readFile(path, "utf8"))];
  } catch (thrown) {
    return [warning(`${name}: ${describeError(thrown)}`, `correct ${path}, or leave the variable out`)];
  }
}
