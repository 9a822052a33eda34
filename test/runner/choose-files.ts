/**
 * What takes long, because faults are injected into real parts, or the package or the image is built and installed. It
 * is a suite of its own, `npm run test:slow`.
 */
const SLOW = /\.slow\.test\.ts$/;
/** Those that take longest: begun first, so that no process is left with one of them at the end. */
const LONGEST = ["docs.test.ts", "package.slow.test.ts", "deploy/image.slow.test.ts"];

/**
 * The test files to run, the longest first.
 *
 * @param sources paths below `test/`
 * @param wanted paths or parts of them, of the sources or of what they are compiled to; all files but the slow ones when empty
 * @throws Error when one of them chooses nothing
 */
export function chooseFiles(sources: readonly string[], wanted: readonly string[]): string[] {
  const chosen = new Set(
    wanted.length === 0
      ? sources.filter((source) => !SLOW.test(source))
      : wanted.flatMap((want) => matching(sources, want)),
  );
  const order = [...LONGEST, ...[...sources].sort()];
  return [...new Set(order)].filter((source) => chosen.has(source));
}

function matching(sources: readonly string[], want: string): string[] {
  const part = want.replace(/^(.*\/)?test(-dist)?\//, "").replace(/\.js$/, ".ts");
  const found = sources.includes(part) ? [part] : sources.filter((source) => source.includes(part));
  if (found.length === 0 || want.startsWith("-")) throw new Error(`no test file's path has "${want}" in it`);
  return found;
}
