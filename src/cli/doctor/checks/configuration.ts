import { type Check, error, ok, warning } from "../check.js";

/** What `serve` would refuse to start with, and what looks like a mistake. */
export const configurationCheck: Check = {
  name: "configuration",
  run: async ({ configuration }) => {
    const problems = "problems" in configuration ? configuration.problems : [];
    const findings = [
      ...problems.map((problem) => error(problem, "set it in the environment; README.md documents each variable")),
      ...configuration.warnings.map((text) => warning(text, "correct its name, or take it out of the environment")),
    ];
    return findings.length > 0 ? findings : [ok("every variable can be used")];
  },
};
