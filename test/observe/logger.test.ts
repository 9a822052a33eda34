import t from "tap";
import { createLogger } from "../../dist/observe/logger.js";
import { openDatabase } from "../../dist/store/database.js";
import { insertEnrolmentToken } from "../../dist/store/enrolment/enrolment-tokens.js";
import { createEmptyDatabase } from "../support/database/database.js";

t.test("a statement that failed is logged without what it was to write", async (t) => {
  const { url } = await createEmptyDatabase(t);
  const database = openDatabase({ url });
  t.teardown(() => database.close());
  const error = await insertEnrolmentToken(database.db, {
    id: "id",
    organisationId: "organisation",
    label: "label",
    token: "a secret",
    createdById: "user",
  }).then(
    () => t.fail("there is no such table"),
    (thrown: Error) => thrown,
  );
  const lines: string[] = [];
  const log = createLogger("info", { write: (line) => void lines.push(line) });
  log.error({ err: error }, "failed");
  log.error({ err: new Error("outer", { cause: error }) }, "failed");
  for (const line of lines) {
    t.match(line, /insert into .*agent_enrolment_tokens/, "the statement");
    t.match(line, /does not exist/, "and why");
    t.notMatch(line, /a secret/);
  }
});
