/** PKCS#8, and the older form of OpenSSL (RFC 1421, 4.6.1.1). */
const ENCRYPTED = /BEGIN ENCRYPTED PRIVATE KEY|^Proc-Type: *4, *ENCRYPTED/m;

/** What is wrong with a private key in PEM that cannot be read, with what to do about it; goes on after the key's name. */
export function describeUnreadableKey(pem: string): string {
  return ENCRYPTED.test(pem)
    ? "is encrypted: write it without a passphrase (`openssl pkey -in KEY -out KEY.plain`)"
    : "is not a private key in PEM";
}
