import { groupLookups } from "../../lib/async/group-lookups.js";
import type { Queryable } from "../../store/database.js";
import {
  type FoundToken,
  findEnrolmentTokens,
  type PresentedToken,
  type UsableToken,
} from "../../store/enrolment/enrolment-tokens.js";
import { hashEnrolmentToken } from "./enrolment-token.js";
import { UnknownTokenCeiling } from "./unknown-token-ceiling.js";

/** Why an enrolment token cannot be used: for the operator, never for the caller. */
export type TokenProblem = "unknown" | "expired" | "exhausted" | "revoked";

/** Checks enrolment tokens, those of registrations at the same time together. */
export class TokenCheck {
  readonly #find: (token: PresentedToken) => Promise<FoundToken | undefined>;

  constructor(
    db: Queryable,
    private readonly ceiling = new UnknownTokenCeiling(),
  ) {
    this.#find = groupLookups((presented) => findEnrolmentTokens(db, presented));
  }

  /** The enrolment token if it could be used at the moment; undefined otherwise, and when none was sent. */
  async findUsable(orgToken: string): Promise<UsableToken | undefined> {
    if (orgToken === "") return undefined;
    const found = await this.#find({ token: orgToken, tokenHash: hashEnrolmentToken(orgToken) });
    return found?.usable ? found : undefined;
  }

  /**
   * The enrolment token of a new key, or why it cannot be used at the moment.
   *
   * @throws IngestError `too_many_refusals` while too many are unknown
   */
  async find(orgToken: string): Promise<{ token: UsableToken } | { problem: TokenProblem }> {
    const tokenHash = hashEnrolmentToken(orgToken);
    this.ceiling.requireHearing(tokenHash);
    const found = await this.#find({ token: orgToken, tokenHash });
    this.ceiling.count(tokenHash, found !== undefined);
    if (found === undefined) return { problem: "unknown" };
    if (found.usable) return { token: found };
    return { problem: found.deletedAt !== null ? "revoked" : found.expired ? "expired" : "exhausted" };
  }
}
