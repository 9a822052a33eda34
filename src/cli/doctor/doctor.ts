import { Command } from "commander";
import { parseConfig } from "../../config/config.js";
import { readValidVariables } from "../../config/environment.js";
import { type Database, openDatabase } from "../../store/database.js";
import { readServerVersion } from "../../store/inspection.js";
import { findEnvironment } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { type ShowOptions, show } from "../interaction/show.js";
import type { Check } from "./check.js";
import { agentCaCheck } from "./checks/agent-ca.js";
import { agentUpdatesCheck } from "./checks/agent-updates.js";
import { agentsCheck } from "./checks/agents.js";
import { configurationCheck } from "./checks/configuration.js";
import { connectionLimitCheck } from "./checks/connection-limit.js";
import { databaseReachableCheck } from "./checks/database.js";
import { instancesCheck } from "./checks/instances.js";
import { jwtKeyCheck } from "./checks/jwt-key.js";
import { clockCheck } from "./checks/machine/clock.js";
import { descriptorsCheck } from "./checks/machine/descriptors.js";
import { portsCheck } from "./checks/machine/ports.js";
import { serviceUserCheck } from "./checks/machine/service-user.js";
import { migrationsCheck } from "./checks/migrations.js";
import { serverCertificateCheck } from "./checks/server-certificate.js";
import { unsupportedFeaturesCheck } from "./checks/unsupported-features.js";
import { formatRecentRefusals, readRecentRefusals } from "./recent.js";
import { formatReport } from "./report-text.js";
import { isWrong, runChecks } from "./run-checks.js";

/** `doctor`: what is wrong, and what to do about it. */
export function doctorCommand(context: CommandContext): Command {
  return new Command("doctor")
    .description("look at configuration, files and database, and say what is wrong and what to do; nothing is changed")
    .option("--recent", "show instead what was refused lately, whoever called; TLS handshakes that failed included")
    .option("--json", "print JSON only")
    .option("--wide", "with --recent: show everything in full, and times exactly, however wide the terminal is")
    .action(async ({ recent, ...options }: ShowOptions & { recent?: true }) => {
      if (recent) return show(context, options, { read: readRecentRefusals, toText: formatRecentRefusals });
      const { json } = options;
      const env = await findEnvironment(context.env);
      const variables = readValidVariables(env);
      const { database, problem } = await connect(variables.DATABASE_URL);
      try {
        const subject = { configuration: parseConfig(env), variables, db: database?.db };
        const findings = await runChecks(checks(problem), subject);
        context.print(json ? JSON.stringify(findings) : formatReport(findings, context.terminal));
        const wrong = findings.filter(isWrong).length;
        if (wrong > 0)
          throw new Error(wrong === 1 ? "one thing is to be looked at" : `${wrong} things are to be looked at`);
      } finally {
        await database?.close();
      }
    });
}

function checks(databaseProblem: unknown): Check[] {
  return [
    configurationCheck,
    serverCertificateCheck,
    portsCheck,
    databaseReachableCheck(databaseProblem),
    connectionLimitCheck,
    migrationsCheck,
    clockCheck,
    instancesCheck,
    agentCaCheck,
    jwtKeyCheck,
    serviceUserCheck,
    agentsCheck,
    descriptorsCheck,
    agentUpdatesCheck,
    unsupportedFeaturesCheck,
  ];
}

async function connect(url: string | undefined): Promise<{ database?: Database; problem?: unknown }> {
  if (url === undefined) return { problem: new Error("DATABASE_URL is not set, or not valid") };
  const database = openDatabase({ url, maxConnections: 2 });
  try {
    await readServerVersion(database.db);
    return { database };
  } catch (problem) {
    await database.close();
    return { problem };
  }
}
