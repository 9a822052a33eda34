export { agentAdoptions } from "./agent-adoptions.js";
export { agentRegistrations } from "./agent-registrations.js";
export { agentSessions } from "./agent-sessions.js";
export { clientCertificates } from "./client-certificates.js";
export { refusals } from "./refusals.js";
export { retiredAgentCas } from "./retired-agent-cas.js";
export { signingKeys } from "./signing-keys.js";
export { updateOffers } from "./update-offers.js";
