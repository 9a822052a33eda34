import type { UsableToken } from "../store/enrolment-tokens.js";
import type { MachineDescription } from "../store/matching-hosts.js";
import { identifyingHostname } from "./duplicate-rule.js";
import type { Registration } from "./registration-request.js";

/** A key that no agent has, the machine that holds it, and the enrolment token it came with. */
export interface NewKey {
  registration: Registration;
  token: UsableToken;
}

/** The machine of a new key, as it is compared with others. */
export function machineOf({ registration, token }: NewKey): MachineDescription {
  const { hostname, identifyingAddresses } = registration;
  const { organisationId } = token;
  return { organisationId, hostname: identifyingHostname(hostname), addresses: identifyingAddresses };
}
