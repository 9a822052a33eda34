/**
 * What was decided about has changed, or was changed: the key is looked up again, and decided about anew. Rolls a
 * transaction back.
 */
export class LookAgain extends Error {
  override readonly name = "LookAgain";

  constructor() {
    super("what was decided about has changed");
  }
}
