import { X509Certificate } from "node:crypto";
import { readServerCertificate } from "../../../identity/server-certificate/server-certificate-files.js";
import { describeSubject, readPemCertificates } from "../../../identity/x509/read-certificate.js";
import { tryHandshake } from "../../../server/probes/trial-handshake.js";
import { type Check, error, type Finding, ok, skipped, warning } from "../check.js";
import { checkDates } from "../dates.js";

const REMEDY = "put a renewed certificate and its key into INGEST_TLS_CERT and INGEST_TLS_KEY";

/** The certificate that agents check the service by: readable, of this key, in date, with names. */
export const serverCertificateCheck: Check = {
  name: "server certificate",
  run: async ({ variables: { INGEST_TLS_CERT: certFile, INGEST_TLS_KEY: keyFile } }) => {
    if (certFile === undefined || keyFile === undefined) return [skipped("its files are not configured")];
    const pair = await readServerCertificate({ certFile, keyFile });
    await tryHandshake(pair);
    const { cert, notAfter } = pair;
    const certificate = new X509Certificate(cert);
    const names = [...(certificate.subjectAltName ?? "").matchAll(/(?:DNS|IP Address):([^,]+)/g)].map(
      ([, name]) => name,
    );
    return [
      checkDates("the certificate", { notBefore: new Date(certificate.validFrom), notAfter }, REMEDY),
      names.length > 0
        ? ok(`it is good for ${names.join(", ")}`)
        : error(
            "the certificate has no subject alternative name: agents accept it for no address",
            "have it issued with the names and addresses that agents connect to",
          ),
      ...checkChain(cert),
    ];
  },
};

/** What follows the server's own certificate. One that expired may be passed over by agents that know another way. */
function checkChain(pem: string): Finding[] {
  return readPemCertificates(pem)
    .slice(1)
    .map((der) => new X509Certificate(der))
    .filter(({ validTo }) => new Date(validTo).getTime() < Date.now())
    .map((certificate) =>
      warning(
        `${describeSubject(certificate)}, in its chain, expired on ${new Date(certificate.validTo).toISOString()}`,
        "leave it out of INGEST_TLS_CERT, or put a renewed one in: agents that need it cannot connect",
      ),
    );
}
