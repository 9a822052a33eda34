import { isServiceLink } from "../lib/formats/kubernetes.js";
import { parsePostgresUrl } from "../lib/formats/postgres-url.js";
import { SECRETS, type Variables, variables } from "./variables.js";

/** The names of the database's URL: the first one that is set counts. The earlier service knew both, too. */
const DATABASE_URL_NAMES = ["DATABASE_URL", "INGEST_DATABASE_URL"] as const;

/** The database that an environment names, if it does. */
export function databaseUrlIn(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const name = databaseUrlName(environment);
  return name && environment[name]?.trim();
}

/** The secret that the agent CA's key is encrypted with, if there is one; the web app looks in the same order. */
export function encryptionSecretIn(
  environment: Partial<Pick<Variables, "LDAP_ENCRYPTION_KEY" | "BETTER_AUTH_SECRET">>,
): string | undefined {
  return [environment.LDAP_ENCRYPTION_KEY, environment.BETTER_AUTH_SECRET].find(isSet);
}

/** The variable that {@link databaseUrlIn} takes it from. */
export function databaseUrlName(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  return DATABASE_URL_NAMES.find((name) => isSet(environment[name]));
}

/** White space alone is what a template leaves of a value that it does not know. */
function isSet(value: string | undefined): value is string {
  return value !== undefined && value.trim() !== "";
}

/** The variables that are valid by themselves, defaults included, whatever is wrong with the others. */
export function readValidVariables(environment: Readonly<Record<string, string | undefined>>): Partial<Variables> {
  const env = namedVariables(environment);
  const valid = Object.entries(variables.shape).flatMap(([name, schema]) => {
    const parsed = schema.safeParse(env[name]);
    return parsed.success && parsed.data !== undefined ? [[name, parsed.data]] : [];
  });
  return Object.fromEntries(valid);
}

/** The variables of this service that an environment sets, each under the one name it is known by here. */
export function settingsIn(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(namedVariables(environment)).filter(([name]) => name in variables.shape));
}

/** The variables that are set, each under the one name it is known by here. */
export function namedVariables(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const others = Object.entries(environment).flatMap(([name, value]) =>
    isSet(value) && !isForeign(name, value) && !DATABASE_URL_NAMES.some((known) => known === name)
      ? [[name, SECRETS.has(name) ? value : value.trim()]]
      : [],
  );
  const databaseUrl = databaseUrlIn(environment);
  return { ...Object.fromEntries(others), ...(databaseUrl !== undefined && { DATABASE_URL: databaseUrl }) };
}

/** Kubernetes makes variables for a Service whose name begins with `ingest`, which look like ours. */
function isForeign(name: string, value: string): boolean {
  return name.startsWith("INGEST_") && isServiceLink(name, value);
}

/** What looks like a mistake in an environment, one line each. */
export function findWarnings(environment: Readonly<Record<string, string | undefined>>): string[] {
  return [
    ...unknownVariables(namedVariables(environment)),
    ...databaseUrlWarnings(environment),
    ...proxyWarnings(namedVariables(environment)),
    ...serviceLinkWarnings(environment),
  ];
}

function unknownVariables(env: Readonly<Record<string, string>>): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith("INGEST_") && !(name in variables.shape))
    .map((name) => `${name} is not a variable this service knows; it is ignored`);
}

function databaseUrlWarnings(environment: Readonly<Record<string, string | undefined>>): string[] {
  const { warnings } = parsePostgresUrl(databaseUrlIn(environment) ?? "");
  return warnings.map((warning) => `${databaseUrlName(environment)}: ${warning}`);
}

function proxyWarnings(env: Readonly<Record<string, string>>): string[] {
  return env.INGEST_TRUSTED_PROXIES !== undefined && env.INGEST_PROXY_PROTOCOL !== "true"
    ? ["INGEST_TRUSTED_PROXIES is set and INGEST_PROXY_PROTOCOL is not true: no PROXY header is taken"]
    : [];
}

/** One hint for all: there are seven of them to a Service with one port. */
function serviceLinkWarnings(environment: Readonly<Record<string, string | undefined>>): string[] {
  const names = Object.entries(environment).flatMap(([name, value]) =>
    value !== undefined && isForeign(name, value) ? [name] : [],
  );
  const [first] = names;
  if (first === undefined) return [];
  return [
    `${first}${names.length > 1 ? ` and ${names.length - 1} more` : ""}: made by Kubernetes for a Service of that name, ` +
      "and ignored; `enableServiceLinks: false` in the pod's spec leaves them out",
  ];
}
