import { contentOf, DER_TAG, readElements } from "../../lib/formats/der.js";
import {
  type CertificateExtension,
  EXTENDED_KEY_USAGE,
  EXTENSION_ID,
  NAME_TAG,
  onlyElement,
  readExtendedKeyUsage,
  readIsCa,
  readKeyUsage,
} from "./certificate-extensions.js";
import type { CertificateFields } from "./read-certificate.js";

const NAME_CONSTRAINTS = "551d1e";
/** Policies, and rules about them: whoever asks for no policy need not look at them. */
const POLICIES = ["551d20", "551d21", "551d24", "551d36"];
const UNDERSTOOD = [...Object.values(EXTENSION_ID), ...POLICIES, NAME_CONSTRAINTS];
const SUBTREES_TAGS = [0xa0, 0xa1];
const DIRECTORY_NAME_TAG = 0xa4;

/**
 * Why a CA by its own fields cannot sign certificates of agents that others accept too: OpenSSL, and the earlier service,
 * look at more of it than node:crypto does. Undefined when it can.
 */
export function findUnfitness({ extensions, publicKey }: CertificateFields): string | undefined {
  const value = (id: string) => extensions.get(id)?.value;
  const basicConstraints = value(EXTENSION_ID.basicConstraints);
  const keyUsage = value(EXTENSION_ID.keyUsage);
  const extendedKeyUsage = value(EXTENSION_ID.extendedKeyUsage);
  const nameConstraints = value(NAME_CONSTRAINTS);
  const isCa = basicConstraints !== undefined && readIsCa(basicConstraints);
  if (!isCa || (keyUsage !== undefined && !readKeyUsage(keyUsage).keyCertSign)) {
    return "is not a CA certificate (basic constraints CA:TRUE, key usage keyCertSign)";
  }
  if (extendedKeyUsage !== undefined && !isForClients(extendedKeyUsage)) {
    return "is not for certificates of clients (extended key usage without clientAuth)";
  }
  if (nameConstraints !== undefined && constrainsAgents(nameConstraints)) {
    return "limits the names of what it signs (name constraints on URIs or directory names)";
  }
  if (hasSpeltOutCurve(publicKey)) return "has a key whose curve is not named but spelt out";
  return findNotUnderstood(extensions);
}

function findNotUnderstood(extensions: ReadonlyMap<string, CertificateExtension>): string | undefined {
  const isForeign = ([id, { critical }]: [string, CertificateExtension]) => critical && !UNDERSTOOD.includes(id);
  return [...extensions].some(isForeign) ? "carries a critical extension that is not understood" : undefined;
}

function isForClients(extendedKeyUsage: Buffer): boolean {
  const { clientAuthentication, any } = EXTENDED_KEY_USAGE;
  return readExtendedKeyUsage(extendedKeyUsage).some((purpose) => purpose === clientAuthentication || purpose === any);
}

/** Agents have a directory name, and a URI for their SPIFFE id. */
function constrainsAgents(nameConstraints: Buffer): boolean {
  const subtrees = readElements(onlyElement(nameConstraints).content)
    .filter(({ tag }) => SUBTREES_TAGS.includes(tag))
    .flatMap(({ content }) => readElements(content));
  return subtrees.some((subtree) => {
    const [base] = readElements(contentOf(subtree, DER_TAG.sequence));
    return base?.tag === NAME_TAG.uri || base?.tag === DIRECTORY_NAME_TAG;
  });
}

/** Of elliptic curves the parameters are the name (RFC 5480, section 2.1.1). */
function hasSpeltOutCurve(publicKey: Buffer): boolean {
  const [algorithm] = readElements(onlyElement(publicKey).content);
  const [, parameters] = readElements(contentOf(algorithm, DER_TAG.sequence));
  return parameters?.tag === DER_TAG.sequence;
}
