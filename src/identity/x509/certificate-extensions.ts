import {
  contentOf,
  DER_TAG,
  type DerElement,
  encodeElement,
  encodeSequence,
  readElements,
} from "../../lib/formats/der.js";

/** An extension of a certificate. */
export interface CertificateExtension {
  critical: boolean;
  /** The DER inside. */
  value: Buffer;
}

/** Object identifiers (RFC 5280, section 4.2.1), as hex of their DER. */
export const EXTENSION_ID = {
  subjectKeyIdentifier: "551d0e",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  authorityKeyIdentifier: "551d23",
  extendedKeyUsage: "551d25",
};

/** Extended key usages (RFC 5280, section 4.2.1.12), as hex of their DER. */
export const EXTENDED_KEY_USAGE = {
  serverAuthentication: "2b06010505070301",
  clientAuthentication: "2b06010505070302",
  any: "551d2500",
};

/** Key usages (RFC 5280, section 4.2.1.3), by their bit in the first byte. */
export const KEY_USAGE = { digitalSignature: 0x80, keyCertSign: 0x04, crlSign: 0x02 };

/** Names of the kinds that are written or read (RFC 5280, section 4.2.1.6), by their tags. */
export const NAME_TAG = { dns: 0x82, uri: 0x86, ip: 0x87 };

const KEY_IDENTIFIER = 0x80;

/**
 * Reads the extensions of a certificate, by their identifier.
 *
 * @param list the SEQUENCE of them
 * @throws Error when the DER is malformed, or two extensions have one identifier
 */
export function readExtensions(list: DerElement | undefined): Map<string, CertificateExtension> {
  const extensions = new Map<string, CertificateExtension>();
  for (const extension of readElements(contentOf(list, DER_TAG.sequence))) {
    const [identifier, ...rest] = readElements(contentOf(extension, DER_TAG.sequence));
    const id = contentOf(identifier, DER_TAG.objectIdentifier).toString("hex");
    if (extensions.has(id)) throw new Error(`two extensions ${id}`);
    const critical = rest[0]?.tag === DER_TAG.boolean && rest[0].content[0] !== 0;
    extensions.set(id, { critical, value: contentOf(rest.at(-1), DER_TAG.octetString) });
  }
  return extensions;
}

/** Writes an extension. */
export function encodeExtension(id: string, value: Uint8Array, critical = false): Buffer {
  return encodeSequence(
    encodeElement(DER_TAG.objectIdentifier, Buffer.from(id, "hex")),
    ...(critical ? [encodeElement(DER_TAG.boolean, Buffer.of(0xff))] : []),
    encodeElement(DER_TAG.octetString, value),
  );
}

/** The key usages of a certificate that are looked at. */
export interface KeyUsage {
  digitalSignature: boolean;
  keyCertSign: boolean;
}

/** Reads the value of a key usage extension. */
export function readKeyUsage(value: Buffer): KeyUsage {
  // The first byte counts the unused bits at the end; the first bit after it is the usage 0.
  const bits = contentOf(onlyElement(value), DER_TAG.bitString)[1] ?? 0;
  return {
    digitalSignature: (bits & KEY_USAGE.digitalSignature) !== 0,
    keyCertSign: (bits & KEY_USAGE.keyCertSign) !== 0,
  };
}

/** The key usage extension, critical, of some of {@link KEY_USAGE}. */
export function encodeKeyUsage(...usages: readonly number[]): Buffer {
  const bits = usages.reduce((all, usage) => all | usage, 0);
  const unused = Math.log2(bits & -bits);
  return encodeExtension(EXTENSION_ID.keyUsage, encodeElement(DER_TAG.bitString, Buffer.of(unused, bits)), true);
}

/** Reads the value of an extended key usage extension: its purposes, as hex of their DER. */
export function readExtendedKeyUsage(value: Buffer): string[] {
  return readElements(contentOf(onlyElement(value), DER_TAG.sequence)).map((purpose) =>
    contentOf(purpose, DER_TAG.objectIdentifier).toString("hex"),
  );
}

/** The extended key usage extension of one purpose. */
export function encodeExtendedKeyUsage(purpose: string): Buffer {
  const identifier = encodeElement(DER_TAG.objectIdentifier, Buffer.from(purpose, "hex"));
  return encodeExtension(EXTENSION_ID.extendedKeyUsage, encodeSequence(identifier));
}

/** Reads the value of a basic constraints extension: whether it is of a CA. */
export function readIsCa(value: Buffer): boolean {
  const [first] = readElements(contentOf(onlyElement(value), DER_TAG.sequence));
  return first?.tag === DER_TAG.boolean && first.content[0] !== 0;
}

/** The basic constraints extension, critical, of a leaf, or of a CA whose leaves are no CAs. */
export function encodeBasicConstraints({ isCa }: { isCa: boolean }): Buffer {
  const constraints = isCa
    ? [encodeElement(DER_TAG.boolean, Buffer.of(0xff)), encodeElement(DER_TAG.integer, Buffer.of(0))]
    : [];
  return encodeExtension(EXTENSION_ID.basicConstraints, encodeSequence(...constraints), true);
}

/** Reads the value of an alternative name extension that holds one URI; undefined when it holds anything else. */
export function readOnlyUri(value: Buffer): string | undefined {
  const [name, ...others] = readElements(contentOf(onlyElement(value), DER_TAG.sequence));
  return name?.tag === NAME_TAG.uri && others.length === 0 ? name.content.toString("latin1") : undefined;
}

/** The alternative name extension. */
export function encodeSubjectAltName(names: readonly { tag: number; value: Uint8Array }[]): Buffer {
  const encoded = names.map(({ tag, value }) => encodeElement(tag, value));
  return encodeExtension(EXTENSION_ID.subjectAltName, encodeSequence(...encoded));
}

/** Reads the value of a subject key identifier extension. */
export function readSubjectKeyIdentifier(value: Buffer): Buffer {
  return contentOf(onlyElement(value), DER_TAG.octetString);
}

/** The subject key identifier extension of a CA. */
export function encodeSubjectKeyIdentifier(identifier: Uint8Array): Buffer {
  return encodeExtension(EXTENSION_ID.subjectKeyIdentifier, encodeElement(DER_TAG.octetString, identifier));
}

/** The authority key identifier extension: the issuer's subject key identifier, whatever that is (RFC 5280, 4.2.1.1). */
export function encodeAuthorityKeyIdentifier(identifier: Uint8Array): Buffer {
  const value = encodeSequence(encodeElement(KEY_IDENTIFIER, identifier));
  return encodeExtension(EXTENSION_ID.authorityKeyIdentifier, value);
}

/**
 * The one element that the value of an extension is.
 *
 * @throws Error
 */
export function onlyElement(value: Buffer): DerElement {
  const [element, ...others] = readElements(value);
  if (element === undefined || others.length > 0) throw new Error("an extension that is not one element");
  return element;
}
