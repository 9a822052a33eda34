import type { X509Certificate } from "node:crypto";
import { contentOf, DER_TAG, type DerElement, readElements, walkElements } from "../../lib/formats/der.js";
import { type CertificateExtension, onlyElement, readExtensions } from "./certificate-extensions.js";

const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;
const PEM_BLOCK = /-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END \1?CERTIFICATE-----/g;

/** Ours have about 600 bytes, and those of a CA with the largest keys in use not ten times that. */
const MAX_CLIENT_BYTES = 16 * 1024;
/** Where the extensions are numbered that libraries look into: RFC 5280's, the IETF's, Netscape's. */
const KNOWN_EXTENSIONS = /^(551d|2b060105050701|6086480186f84201)/;

/** What a certificate says. */
export interface CertificateFields {
  /** Lower-case hex without leading zeros: the form of every serial in the database. */
  serial: string;
  /** DER of a name, as is the subject. */
  issuer: Buffer;
  subject: Buffer;
  notBefore: Date;
  notAfter: Date;
  /** DER of a SubjectPublicKeyInfo. */
  publicKey: Buffer;
  /** By their identifier, as hex of its DER. */
  extensions: ReadonlyMap<string, CertificateExtension>;
}

/**
 * Reads a certificate (RFC 5280, section 4.1), without a look at its signature. Every byte that libraries look into is
 * walked: no certificate is given to node:crypto that did not pass here.
 *
 * @throws Error when it is malformed: not DER, an impossible time, two extensions with one identifier
 */
export function readCertificate(der: Uint8Array, maxBytes = MAX_CLIENT_BYTES): CertificateFields {
  if (der.length > maxBytes) throw new Error(`longer than ${maxBytes} bytes`);
  walkElements(Buffer.from(der));
  const [certificate, ...trailing] = readElements(Buffer.from(der));
  const [toBeSigned, algorithm, signature, ...others] = readElements(contentOf(certificate, DER_TAG.sequence));
  contentOf(algorithm, DER_TAG.sequence);
  contentOf(signature, DER_TAG.bitString);
  if (trailing.length > 0 || others.length > 0) throw new Error("more than a certificate");
  const fields = readElements(contentOf(toBeSigned, DER_TAG.sequence));
  const [serial, , issuer, validity, subject, publicKey, ...optional] = fields.slice(
    fields[0]?.tag === VERSION_TAG ? 1 : 0,
  );
  const [notBefore, notAfter] = readElements(contentOf(validity, DER_TAG.sequence));
  return {
    serial: toSerial(contentOf(serial, DER_TAG.integer)),
    issuer: encodedSequence(issuer),
    subject: encodedSequence(subject),
    notBefore: readTime(notBefore),
    notAfter: readTime(notAfter),
    publicKey: encodedSequence(publicKey),
    extensions: walkExtensions(optional.find(({ tag }) => tag === EXTENSIONS_TAG)),
  };
}

function walkExtensions(wrapper: DerElement | undefined): ReadonlyMap<string, CertificateExtension> {
  if (wrapper === undefined) return new Map();
  const extensions = readExtensions(readElements(wrapper.content)[0]);
  // What private ones hold need not be DER, and nobody looks into it.
  for (const [id, { value }] of extensions) if (KNOWN_EXTENSIONS.test(id)) walkElements(onlyElement(value).encoded);
  return extensions;
}

/** A serial as every one in the database is written: lower-case hex without leading zeros. */
export function toSerial(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex").replace(/^0+/, "");
}

/** The DER of every certificate in a text of PEM blocks, in their order; what stands between them is passed over. */
export function readPemCertificates(text: string): Buffer[] {
  return [...text.matchAll(PEM_BLOCK)].map(([, kind, base64 = ""]) => {
    const der = Buffer.from(base64, "base64");
    // OpenSSL writes what it is trusted for after the certificate.
    return kind === "TRUSTED " ? (readElements(der)[0]?.encoded ?? der) : der;
  });
}

/** The name of a certificate in one line, for people; without a name the alternative ones. */
export function describeSubject(certificate: X509Certificate): string {
  // node:crypto has undefined for a name that is empty, as certificates of public CAs may have it.
  const subject: string | undefined = certificate.subject;
  return (subject ?? certificate.subjectAltName ?? "").replaceAll("\n", ", ");
}

/** A certificate as PEM. */
export function toPem(der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString("base64")
    .match(/.{1,64}/g);
  return `-----BEGIN CERTIFICATE-----\n${lines?.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function encodedSequence(element: DerElement | undefined): Buffer {
  contentOf(element, DER_TAG.sequence);
  return (element as DerElement).encoded;
}

/** Reads a time in the two forms that certificates have (RFC 5280, section 4.1.2.5). */
function readTime(element: DerElement | undefined): Date {
  const text = element?.content.toString("latin1") ?? "";
  // Of two digits those from 50 on are of the twentieth century.
  const century = element?.tag === DER_TAG.utcTime ? (text < "50" ? "20" : "19") : "";
  const isTime = element?.tag === DER_TAG.utcTime || element?.tag === DER_TAG.generalizedTime;
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(century + text) ?? [];
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const time = new Date(iso);
  // The second comparison refuses a 30 February.
  if (!isTime || Number.isNaN(time.getTime()) || time.toISOString() !== iso) throw new Error("an impossible time");
  return time;
}
