import { contentOf, DER_TAG, readElements } from "../der.js";

/** An extension of a certificate. */
export interface CertificateExtension {
  critical: boolean;
  /** The DER inside. */
  value: Buffer;
}

/** Object identifiers (RFC 5280, section 4.2.1), as hex of their DER. */
export const EXTENSION_ID = {
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  extendedKeyUsage: "551d25",
};

/**
 * Reads the extensions of a certificate, by their identifier. node:crypto shows neither the key usage, nor what is
 * critical, nor the alternative names as more than text; the library that writes certificates shows all of it, and
 * takes three times as long as everything else in a verification.
 *
 * @throws Error when the DER is malformed, or two extensions have one identifier
 */
export function readExtensions(certificateDer: Uint8Array): Map<string, CertificateExtension> {
  const [certificate] = readElements(Buffer.from(certificateDer));
  const [toBeSigned] = readElements(contentOf(certificate, DER_TAG.sequence));
  const fields = readElements(contentOf(toBeSigned, DER_TAG.sequence));
  const wrapper = fields.find(({ tag }) => tag === DER_TAG.extensions);
  const extensions = new Map<string, CertificateExtension>();
  if (wrapper === undefined) return extensions;
  const [list] = readElements(wrapper.content);
  for (const extension of readElements(contentOf(list, DER_TAG.sequence))) {
    const [identifier, ...rest] = readElements(contentOf(extension, DER_TAG.sequence));
    const id = contentOf(identifier, DER_TAG.objectIdentifier).toString("hex");
    if (extensions.has(id)) throw new Error(`two extensions ${id}`);
    const critical = rest[0]?.tag === DER_TAG.boolean && rest[0].content[0] !== 0;
    extensions.set(id, { critical, value: contentOf(rest.at(-1), DER_TAG.octetString) });
  }
  return extensions;
}

/** The key usages of a certificate that are looked at. */
export interface KeyUsage {
  digitalSignature: boolean;
  keyCertSign: boolean;
}

/** Reads the value of a key usage extension. */
export function readKeyUsage(value: Buffer): KeyUsage {
  // The first byte counts the unused bits at the end; the first bit after it is the usage 0.
  const bits = contentOf(readElements(value)[0], DER_TAG.bitString)[1] ?? 0;
  return { digitalSignature: (bits & 0x80) !== 0, keyCertSign: (bits & 0x04) !== 0 };
}

/** Reads the value of an alternative name extension that holds one URI; undefined when it holds anything else. */
export function readOnlyUri(value: Buffer): string | undefined {
  const [name, ...others] = readElements(contentOf(readElements(value)[0], DER_TAG.sequence));
  return name?.tag === DER_TAG.uriName && others.length === 0 ? name.content.toString("latin1") : undefined;
}
