import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { eventually } from "../support/eventually.js";
import { makeDirectory } from "../support/service.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** In place of the service: it tells that it runs, and ends when it is told to. */
const PROGRAM = `
declare const console: any, process: any, setInterval: any;
["SIGINT", "SIGTERM"].forEach((signal) => process.on(signal, () => {
  console.log("ended", version, signal);
  process.exit();
}));
console.log("started", version, process.pid, process.argv.slice(2).join(" "));
setInterval(() => {}, 1_000);
`;

/** Without the libraries, which take longest to compile. */
const COMPILER_OPTIONS = {
  target: "ES2023",
  module: "NodeNext",
  lib: ["ES5"],
  types: [],
  rootDir: "src",
  outDir: "dist",
};

/** A project with the scripts of this one and a source of its own: nobody else compiles there, or runs what is compiled. */
async function makeProject(t: Test) {
  const directory = await makeDirectory(t);
  for (const name of ["src", "scripts"]) await mkdir(join(directory, name));
  await copyFile(join(ROOT, "scripts/watch.mjs"), join(directory, "scripts/watch.mjs"));
  await writeFile(
    join(directory, "tsconfig.json"),
    JSON.stringify({ compilerOptions: COMPILER_OPTIONS, include: ["src"] }),
  );
  const { scripts } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  await writeFile(join(directory, "package.json"), JSON.stringify({ type: "module", scripts: { dev: scripts.dev } }));
  await symlink(join(ROOT, "node_modules"), join(directory, "node_modules"));
  const write = (source: string) => writeFile(join(directory, "src/main.ts"), `${source}${PROGRAM}`);
  await write("const version = 1;");
  return { directory, write };
}

/** Starts `npm run dev`, as a terminal does. */
function startDev(t: Test, directory: string) {
  // A process group of its own: a terminal's Ctrl-C goes to all in it.
  const npm = spawn("npm", ["run", "dev", "--", "--data-dir", "x"], { cwd: directory, detached: true });
  const exited = once(npm, "exit");
  let output = "";
  let onChange = () => {};
  for (const stream of [npm.stdout, npm.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk;
      onChange();
    });
  }
  const group = -(npm.pid as number);
  t.teardown(() => isAlive(group) && process.kill(group, "SIGKILL"));
  /** Waits for it, however long compiling takes. */
  const saw = (pattern: RegExp) =>
    new Promise<string[]>((resolve) => {
      onChange = () => {
        const found = pattern.exec(output);
        if (found !== null) resolve(found.slice(1));
      };
      onChange();
    });
  const pressCtrlC = () => process.kill(group, "SIGINT");
  return { npm, exited, saw, output: () => output, pressCtrlC };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

t.test("npm run dev starts again with every change that compiles, and ends as a whole", async (t) => {
  const { directory, write } = await makeProject(t);
  const { exited, saw, output, pressCtrlC } = startDev(t, directory);
  const [first] = await saw(/started 1 (\d+) dev --data-dir x\n/);

  await write("const version = 2;");
  const [second] = await saw(/ended 1 SIGTERM\n.*started 2 (\d+) dev --data-dir x\n/s);
  t.not(second, first);
  t.notOk(isAlive(Number(first)), "one at a time");

  await write("const version = ;");
  await saw(/error.*TS1109.*Found 1 error/s);
  t.ok(isAlive(Number(second)), "what compiled last goes on");
  t.notMatch(output(), /ended 2/);

  await write("const version = 3;");
  const [third] = await saw(/ended 2 SIGTERM\n.*started 3 (\d+)/s);
  process.kill(Number(third), "SIGKILL");
  await saw(/The service ended; it starts again with the next change\./);
  await write("const version = 4;");
  const [fourth] = await saw(/started 4 (\d+)/);

  pressCtrlC();
  await exited;
  await eventually(
    async () => isAlive(Number(fourth)),
    (alive) => !alive,
  );
  // Of the signals that the terminal and the script send, the first one counts.
  await saw(/ended 4 SIG(INT|TERM)\n/);
});

t.test("npm run dev ends with npm, whatever becomes of that", async (t) => {
  const { directory } = await makeProject(t);
  const { npm, exited, saw } = startDev(t, directory);
  const [service] = await saw(/started 1 (\d+)/);
  npm.kill("SIGKILL");
  await exited;
  await saw(/ended 1 SIGTERM\n/);
  await eventually(
    async () => isAlive(Number(service)) || isAlive(-(npm.pid as number)),
    (alive) => !alive,
  );
});
