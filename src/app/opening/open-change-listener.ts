import type { CertificateUpkeep } from "../../enrolment/certificate-upkeep.js";
import type { HeartbeatEvents } from "../../heartbeat/events.js";
import type { IdentityWatch } from "../../heartbeat/identity-watch.js";
import type { AgentCas } from "../../identity/agent-ca/agent-cas.js";
import type { Lifetime } from "../../lib/lifetime.js";
import { Listener } from "../../store/connection/listener.js";
import type { Dispatcher } from "../../work/dispatch/dispatcher.js";

/** Whom {@link openChangeListener} tells. */
export interface ChangeListenerOptions {
  url: string;
  identityWatch: IdentityWatch;
  certificateUpkeep: CertificateUpkeep;
  agentCa: AgentCas;
  dispatcher: Dispatcher;
  /** Something is left over in the outbox. */
  hearOfOutbox: () => void;
  events: HeartbeatEvents;
  lifetime: Lifetime;
}

/** Hears what other instances, commands and the web app change, and tells everybody who acts on it. */
export function openChangeListener({ url, hearOfOutbox, events, lifetime, ...told }: ChangeListenerOptions): void {
  const { identityWatch, certificateUpkeep, agentCa, dispatcher } = told;
  const listener = new Listener({
    url,
    onChange: (change) => {
      if (change.kind === "agent") {
        identityWatch.checkAgent(change.agentId);
        certificateUpkeep.checkAgent(change.agentId);
      } else if (change.kind === "session") identityWatch.checkAgent(change.agentId);
      else if (change.kind === "certificate") identityWatch.checkCertificate(change.serial);
      else if (change.kind === "agent CA") void agentCa.refresh();
      else if (change.kind === "outbox") hearOfOutbox();
      else dispatcher.hear(change.kind === "work" ? { kind: "everything" } : change);
    },
    onListening: () => {
      dispatcher.hear({ kind: "everything" });
      identityWatch.checkEverything();
      certificateUpkeep.checkEverything();
      // What fails is reported, and tried again by itself.
      void agentCa.refresh();
    },
    onDisconnected: (event) => events.listenerDisconnected(event),
  });
  lifetime.register("database listener", () => listener.close());
}
