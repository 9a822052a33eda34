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

/** The tags of DER that occur here (X.690, and RFC 5280 for those of the context). */
const TAG = {
  boolean: 0x01,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  sequence: 0x30,
  uriName: 0x86,
  extensions: 0xa3,
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
  const [toBeSigned] = readElements(contentOf(certificate, TAG.sequence));
  const fields = readElements(contentOf(toBeSigned, TAG.sequence));
  const wrapper = fields.find(({ tag }) => tag === TAG.extensions);
  const extensions = new Map<string, CertificateExtension>();
  if (wrapper === undefined) return extensions;
  const [list] = readElements(wrapper.content);
  for (const extension of readElements(contentOf(list, TAG.sequence))) {
    const [identifier, ...rest] = readElements(contentOf(extension, TAG.sequence));
    const id = contentOf(identifier, TAG.objectIdentifier).toString("hex");
    if (extensions.has(id)) throw new Error(`two extensions ${id}`);
    const critical = rest[0]?.tag === TAG.boolean && rest[0].content[0] !== 0;
    extensions.set(id, { critical, value: contentOf(rest.at(-1), TAG.octetString) });
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
  const bits = contentOf(readElements(value)[0], TAG.bitString)[1] ?? 0;
  return { digitalSignature: (bits & 0x80) !== 0, keyCertSign: (bits & 0x04) !== 0 };
}

/** Reads the value of an alternative name extension that holds one URI; undefined when it holds anything else. */
export function readOnlyUri(value: Buffer): string | undefined {
  const [name, ...others] = readElements(contentOf(readElements(value)[0], TAG.sequence));
  return name?.tag === TAG.uriName && others.length === 0 ? name.content.toString("latin1") : undefined;
}

interface Element {
  tag: number;
  content: Buffer;
}

function readElements(der: Buffer): Element[] {
  const found: Element[] = [];
  for (let rest = der; rest.length > 0; ) {
    const [tag, first] = rest;
    if (tag === undefined || first === undefined) throw new Error("an element that breaks off");
    // Above 127 it counts the bytes of the length: 1 to 3 here, and never 0, which is not DER.
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    if (first === 0x80 || lengthBytes > 3) throw new Error("an element of an impossible length");
    const start = 2 + lengthBytes;
    const end = start + (lengthBytes === 0 ? first : rest.readUIntBE(2, lengthBytes));
    if (end > rest.length) throw new Error("an element that breaks off");
    found.push({ tag, content: rest.subarray(start, end) });
    rest = rest.subarray(end);
  }
  return found;
}

function contentOf(element: Element | undefined, tag: number): Buffer {
  if (element?.tag !== tag) throw new Error(`an element ${element?.tag} where ${tag} belongs`);
  return element.content;
}
