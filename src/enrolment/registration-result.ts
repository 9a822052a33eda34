import type { IssuedCertificate } from "../identity/client-certificate.js";

/** What `Register` answers. */
export type RegistrationResult =
  | { status: "pending" | "revoked"; agentId: string }
  | {
      status: "active";
      agentId: string;
      accessToken: string;
      certificate: Pick<IssuedCertificate, "pem" | "notAfter">;
      agentCaCertificatePem: string;
    };
