import { IngestError } from "../../errors.js";
import { groupLookups } from "../../lib/group-lookups.js";
import type { Queryable } from "../../store/database.js";
import { type FoundToken, findEnrolmentTokens, type UsableToken } from "../../store/enrolment/enrolment-tokens.js";
import { hashEnrolmentToken } from "./enrolment-token.js";

/** Why an enrolment token cannot be used: for the operator, never for the caller. */
export type TokenProblem = "unknown" | "expired" | "exhausted" | "revoked";

/** An enrolment token cannot be used; rolls an enrolment back, or keeps it from starting. */
export class TokenUnusable extends Error {
  override readonly name = "TokenUnusable";

  constructor(readonly problem: TokenProblem) {
    super(`the enrolment token is ${problem}`);
  }
}

/** Checks enrolment tokens, those of registrations at the same time together. */
export class TokenCheck {
  readonly #find: (tokenHash: string) => Promise<FoundToken | undefined>;

  constructor(db: Queryable) {
    this.#find = groupLookups((tokenHashes) => findEnrolmentTokens(db, tokenHashes));
  }

  /** The enrolment token if it could be used at the moment; undefined otherwise, and when none was sent. */
  async findUsable(orgToken: string): Promise<UsableToken | undefined> {
    if (orgToken === "") return undefined;
    const found = await this.#find(hashEnrolmentToken(orgToken));
    return found?.usable ? found : undefined;
  }

  /**
   * The enrolment token, which must be one that can be used at the moment.
   *
   * @throws TokenUnusable, IngestError `invalid_field` when none was sent
   */
  async requireUsable(orgToken: string): Promise<UsableToken> {
    if (orgToken === "") throw new IngestError("invalid_field", "org_token: missing; expected an enrolment token");
    const found = await this.#find(hashEnrolmentToken(orgToken));
    if (found === undefined) throw new TokenUnusable("unknown");
    if (found.usable) return found;
    throw new TokenUnusable(found.deletedAt !== null ? "revoked" : found.expired ? "expired" : "exhausted");
  }
}
