import type { Config } from "../../config/config.js";
import type { AgentCas } from "../../identity/agent-ca/agent-cas.js";
import { watchExpiry } from "../../identity/expiry-watch.js";
import type { KeyEvents } from "../../identity/key-events.js";
import {
  type readServerCertificate,
  ServerCertificateWatch,
} from "../../identity/server-certificate/server-certificate-files.js";
import type { Lifetime } from "../../lib/lifetime.js";
import type { RpcListener } from "../../server/rpc-listener.js";
import type { AppTiming } from "../app-timing.js";

/** What {@link watchCertificates} needs. */
export interface CertificateWatchOptions {
  config: Config;
  /** The one that is served at first. */
  serverCertificate: Awaited<ReturnType<typeof readServerCertificate>>;
  rpcListener: RpcListener;
  agentCa: AgentCas;
  keyEvents: KeyEvents;
  timing: AppTiming;
  lifetime: Lifetime;
}

/**
 * Serves a server certificate that was replaced, and says when a certificate expires soon.
 *
 * @returns tells the certificates in use, and when they expire
 */
export function watchCertificates(options: CertificateWatchOptions): () => { name: string; notAfter: Date }[] {
  const { config, serverCertificate, rpcListener, agentCa, keyEvents, timing, lifetime } = options;
  const watch = new ServerCertificateWatch({
    paths: config.tls,
    inUse: serverCertificate,
    onChange: (pair) => rpcListener.replaceCertificate(pair),
    events: keyEvents,
    fileWatchMs: timing.serverCertificateMs,
  });
  lifetime.register("server certificate", () => watch.stop());
  const certificates = () => [
    { name: "server certificate", notAfter: watch.current.notAfter },
    { name: "agent CA", notAfter: agentCa.current.notAfter },
  ];
  lifetime.register("expiry watch", watchExpiry(certificates, keyEvents));
  return certificates;
}
