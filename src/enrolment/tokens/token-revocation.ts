import { IngestError } from "../../errors.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { publishEvents } from "../../outbox/publish-events.js";
import { revokeEnrolmentToken } from "../../store/enrolment/enrolment-tokens.js";

/**
 * Takes a token out of use; agents that enrolled with it stay.
 *
 * @returns its label
 * @throws IngestError `operation_refused`
 */
export async function revokeToken({ database, outbox }: PublishingDatabase, tokenId: string): Promise<string> {
  return outbox.transaction(database, async (tx, outgoing) => {
    const revoked = await revokeEnrolmentToken(tx, tokenId);
    if (revoked === undefined) {
      throw new IngestError("operation_refused", `no enrolment token has the id ${tokenId}, or it is revoked already`);
    }
    const { label, organisationId } = revoked;
    publishEvents(outgoing, "token.revoked", () => [{ org_id: organisationId, token_id: tokenId, label }]);
    return label;
  });
}
