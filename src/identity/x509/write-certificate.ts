import { randomBytes } from "node:crypto";
import { DER_TAG, encodeElement, encodeSequence } from "../../lib/formats/der.js";
import { type CertificateSigner, signWith } from "./certificate-signer.js";

const SERIAL_BYTES = 16;
const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;
const VERSION_3 = encodeElement(VERSION_TAG, encodeElement(DER_TAG.integer, Buffer.of(2)));
/** The attributes of a name that are written (RFC 4519), as hex of their DER. */
const ATTRIBUTE_ID = { organisation: "55040a", commonName: "550403" };
/** From then on a time is a GeneralizedTime (RFC 5280, section 4.1.2.5). */
const YEAR_2050 = Date.UTC(2050, 0, 1);

/** What a certificate says. */
export interface CertificateTemplate {
  /** A positive number, as {@link randomSerial} makes it. */
  serial: Buffer;
  /** DER of a name: of the issuer exactly the bytes that its own certificate has, since some compare them (Go). */
  issuer: Buffer;
  /** DER of a name. */
  subject: Buffer;
  /** Counted in seconds, as is the other one. */
  notBefore: Date;
  notAfter: Date;
  /** DER of a SubjectPublicKeyInfo. */
  publicKey: Buffer;
  extensions: readonly Buffer[];
}

/** Writes a certificate (RFC 5280, section 4.1) in DER, and signs it. */
export async function writeCertificate(template: CertificateTemplate, signer: CertificateSigner): Promise<Buffer> {
  const { serial, issuer, subject, notBefore, notAfter, publicKey, extensions } = template;
  const toBeSigned = encodeSequence(
    VERSION_3,
    encodeElement(DER_TAG.integer, serial),
    signer.algorithm,
    issuer,
    encodeSequence(encodeTime(notBefore), encodeTime(notAfter)),
    subject,
    publicKey,
    encodeElement(EXTENSIONS_TAG, encodeSequence(...extensions)),
  );
  const signature = await signWith(signer, toBeSigned);
  // The first byte counts the unused bits at the end.
  return encodeSequence(toBeSigned, signer.algorithm, encodeElement(DER_TAG.bitString, Buffer.of(0), signature));
}

/** A random serial of 127 bits: a DER integer is signed, and its first byte is never zero. */
export function randomSerial(): Buffer {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) % 127) + 1;
  return bytes;
}

/** Writes a name, of one organisation at most and one common name. */
export function encodeName({ organisation, commonName }: { organisation?: string; commonName: string }): Buffer {
  return encodeSequence(
    ...(organisation === undefined ? [] : [encodeAttribute(ATTRIBUTE_ID.organisation, organisation)]),
    encodeAttribute(ATTRIBUTE_ID.commonName, commonName),
  );
}

function encodeAttribute(id: string, value: string): Buffer {
  const attribute = encodeSequence(
    encodeElement(DER_TAG.objectIdentifier, Buffer.from(id, "hex")),
    encodeElement(DER_TAG.utf8String, Buffer.from(value)),
  );
  return encodeElement(DER_TAG.set, attribute);
}

function encodeTime(time: Date): Buffer {
  const digits = `${time.toISOString().replace(/\D/g, "").slice(0, 14)}Z`;
  return time.getTime() < YEAR_2050
    ? encodeElement(DER_TAG.utcTime, Buffer.from(digits.slice(2)))
    : encodeElement(DER_TAG.generalizedTime, Buffer.from(digits));
}
