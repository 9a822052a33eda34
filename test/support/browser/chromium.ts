import { createHash, X509Certificate } from "node:crypto";
import { type Browser, chromium } from "playwright-core";
import type { Test } from "tap";

const FLAGS = [
  // As root it does not start in its sandbox.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts a browser that trusts a server certificate, in PEM, and no other that it would not trust anyway. */
export async function startChromium(t: Test, path: string, serverCertificate: string): Promise<Browser> {
  const publicKey = new X509Certificate(serverCertificate).publicKey.export({ format: "der", type: "spki" });
  const pin = createHash("sha256").update(publicKey).digest("base64");
  const browser = await chromium.launch({
    executablePath: path,
    args: [...FLAGS, `--ignore-certificate-errors-spki-list=${pin}`],
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
  t.teardown(() => browser.close());
  return browser;
}
